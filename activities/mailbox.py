"""The mailbox: letters that were asked for are carried to the mail server, a bundle at a time.

What is promised: at least once, and in practice once. Letters stay locked while they are carried, and what became of
them is written right after the server has taken them; only a worker that dies between the two sends them again, and
then with the same Message-ID.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession
from temporalio import activity

from db import cart_reminders, customers, late_money, mailbox, order_views
from db.engine import Sessions
from db.mailbox import WaitingLetter
from domain.carriers import tracking_url
from domain.erasures import NO_MAIL
from domain.money import Money
from domain.notifications import Carried, Mail, MailOutcome, Occasion, Shift, mail_key
from domain.orders import OrderStatus, number_of
from providers.mail.base import Mailer, MailNotAcceptedError, NoSuchMailboxError
from providers.mail.letters import Letters, Line, OrderLetter, ParcelLetter, Recipient
from workflows.steps import mailbox as steps

BUNDLE = 50
AT_A_TIME = 4
PAUSE_SECONDS = 0.25
"""How long a letter waits at most when there was nothing to carry."""

REASONS = {
    Occasion.ORDER_CONFIRMED: {OrderStatus.CONFIRMED, OrderStatus.SHIPPED, OrderStatus.DELIVERED},
    Occasion.ORDER_DELIVERED: {OrderStatus.DELIVERED},
    Occasion.ORDER_CANCELLED: {OrderStatus.CANCELLED},
    Occasion.ORDER_REFUNDED: set(OrderStatus),
    Occasion.PARCEL_SHIPPED: {OrderStatus.CONFIRMED, OrderStatus.SHIPPED, OrderStatus.DELIVERED},
    Occasion.TRANSFER_AWAITED: {OrderStatus.PENDING},
    Occasion.TRANSFER_REMINDER: {OrderStatus.PENDING},
    Occasion.TRANSFER_EXPIRED: {OrderStatus.CANCELLED},
    Occasion.LATE_MONEY: set(OrderStatus),
}
"""In which state of its order each letter has still something to say."""


OF_ACCOUNTS = frozenset({Occasion.PASSWORD_CHANGED, Occasion.SECOND_FACTOR_CHANGED})
"""Letters about an account, to whoever has it."""


class MailboxActivities:
    def __init__(
        self, sessions: Sessions, mailer: Mailer, letters: Letters, *, unsubscribe: Callable[[bytes], str]
    ) -> None:
        """``unsubscribe`` makes the link by which the address with this hash gets no more reminders."""
        self._unsubscribe = unsubscribe
        self._sessions = sessions
        self._mailer = mailer
        self._letters = letters
        self._hands = asyncio.Semaphore(AT_A_TIME)

    @steps.carry.performed_by
    async def carry(self, shift: Shift) -> Carried:
        """Until the shift is over or the worker stops; whatever waits then is carried by the next one."""
        loop = asyncio.get_running_loop()
        ends_at, carried = loop.time() + shift.seconds, 0
        while loop.time() < ends_at and not activity.is_worker_shutdown():
            letters = await self.carry_a_bundle()
            carried += letters
            activity.heartbeat(carried)
            if not letters:
                await _worker_stops(within=PAUSE_SECONDS)
        return Carried(letters=carried)

    async def carry_a_bundle(self) -> int:
        """How many letters were tried; 0 when none waits."""
        async with self._sessions.begin() as session:
            letters = await mailbox.take(session, most=BUNDLE)
            if letters:
                mails = await self._written(session, letters)
                told = await asyncio.gather(*(self._tried(mails.get(letter.key)) for letter in letters))
                ended = {letter.key: how for letter, how in zip(letters, told, strict=True)}
                await mailbox.note(
                    session,
                    outcomes={key: how for key, how in ended.items() if isinstance(how, MailOutcome)},
                    problems={key: how.problem for key, how in ended.items() if isinstance(how, NotNow)},
                )
        return len(letters)

    async def _tried(self, mail: Mail | None) -> "MailOutcome | NotNow":
        if mail is None:
            return MailOutcome.NOBODY_TO_SEND_TO
        try:
            async with self._hands:
                await self._mailer.send(mail)
        except NoSuchMailboxError:
            return MailOutcome.REFUSED
        except MailNotAcceptedError as error:
            return NotNow(str(error))
        return MailOutcome.SENT

    async def _written(self, session: AsyncSession, letters: Sequence[WaitingLetter]) -> dict[str, Mail]:
        """The letters that still have a reason and a reader."""
        return {
            **await self._about_orders(session, letters),
            **await self._about_accounts(session, letters),
            **await self._about_carts(session, letters),
        }

    async def _about_carts(self, session: AsyncSession, letters: Sequence[WaitingLetter]) -> dict[str, Mail]:
        wanted = [letter for letter in letters if letter.occasion is Occasion.CART_REMINDER]
        left = await cart_reminders.still_wanted(session, {letter.about for letter in wanted}) if wanted else {}
        return {
            letter.key: self._letters.about_cart(
                letter.occasion,
                letter.key,
                reminded.email,
                reminded.lines,
                unsubscribe=self._unsubscribe(reminded.address_hash),
                language=reminded.language,
            )
            for letter in wanted
            if (reminded := left.get(letter.about)) is not None
        }

    async def _about_accounts(self, session: AsyncSession, letters: Sequence[WaitingLetter]) -> dict[str, Mail]:
        wanted = [letter for letter in letters if letter.occasion in OF_ACCOUNTS]
        readers = await customers.by_ids(session, {letter.about for letter in wanted}) if wanted else {}
        return {
            letter.key: self._letters.about_account(
                letter.occasion,
                letter.key,
                Recipient(email=user.email, username=user.username, language=user.language),
            )
            for letter in wanted
            if (user := readers.get(letter.about)) is not None
        }

    async def _about_orders(self, session: AsyncSession, letters: Sequence[WaitingLetter]) -> dict[str, Mail]:
        about = {letter.about for letter in letters if letter.occasion in REASONS}
        orders = {order["id"]: order for order in await order_views.orders_by_ids(session, list(about))}
        returned = await late_money.returned(session, list(about))
        return {
            letter.key: self._letters.about_order(
                letter.occasion,
                letter.key,
                order["email"],
                letter_about(order),
                returned=returned.get(letter.key) or refunded_by(letter.key, order),
                parcel=parcel_of(letter.key, order),
            )
            for letter in letters
            if (order := orders.get(letter.about)) is not None
            and order["status"] in REASONS[letter.occasion]
            and order["email"] != NO_MAIL
        }


class NotNow:
    """The mail server could not take it; another time it may."""

    def __init__(self, problem: str) -> None:
        self.problem = problem


async def _worker_stops(*, within: float) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(within):
            await activity.wait_for_worker_shutdown()


def parcel_of(key: str, order: Mapping[Any, Any]) -> ParcelLetter | None:
    """The parcel that the letter is about, if it is about one."""
    names = {line["id"]: line["name"] for line in order["items"]}
    for parcel in order["fulfillments"]:
        if key == mail_key(Occasion.PARCEL_SHIPPED, parcel["id"]):
            return ParcelLetter(
                contents=[(names[units["order_item_id"]], units["quantity"]) for units in parcel["items"]],
                carrier=parcel["carrier"],
                tracking_number=parcel["tracking_number"],
                tracking_url=tracking_url(parcel["tracking_url"], parcel["tracking_number"]),
            )
    return None


def refunded_by(key: str, order: Mapping[Any, Any]) -> Money | None:
    """What goes back with the refund that the letter is about, if it is about one; credit is there already."""
    for refund in order["refunds"]:
        if key == mail_key(Occasion.ORDER_REFUNDED, refund["id"]):
            return Money(refund["amount"] - refund["of_credit"], order["currency"])
    return None


def letter_about(order: Mapping[Any, Any]) -> OrderLetter:
    def money(minor: int) -> Money:
        return Money(minor, order["currency"])

    address = order["shipping_address"]
    place = [address.get("postal_code"), address.get("city"), address.get("region")]
    return OrderLetter(
        number=number_of(order["number"]),
        lines=[
            Line(
                name=line["name"],
                quantity=line["quantity"],
                unit_price=money(line["unit_price"]),
                total=money(line["line_total"]),
            )
            for line in order["items"]
        ],
        subtotal=money(order["subtotal"]),
        discount=money(order["discount"]) if order["discount"] else None,
        shipping=money(order["shipping"]),
        tax=money(order["tax"]),
        total=money(order["total"]),
        credit=money(order["credit"]) if order["credit"] else None,
        due=money(order["total"] - order["credit"]),
        due_at=order["due_at"],
        language=order["language"],
        address=[
            part
            for part in (
                address.get("name"),
                address.get("line1"),
                address.get("line2"),
                " ".join(part for part in place if part),
                address.get("country"),
            )
            if part
        ],
    )
