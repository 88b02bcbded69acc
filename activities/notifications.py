"""Mails, each sent once for its occasion.

What is promised: at least once, and in practice once. The row in ``sent_mails`` is written right after the server has
taken the mail; only a worker that dies between the two sends it again, and then with the same Message-ID.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from db import customers, notifications, order_views
from db.engine import Sessions
from domain.customers import AccountStatus, Customer
from domain.money import Money
from domain.notifications import AboutOrder, Mail, MailOutcome, Occasion, mail_key
from domain.orders import OrderStatus, number_of
from providers.mail.base import Mailer, NoSuchMailboxError
from providers.mail.letters import Letters, Line, OrderLetter, Recipient
from workflows.steps import notifications as steps

NOT_CONFIRMED = {OrderStatus.PENDING, OrderStatus.CANCELLED}


class NotificationActivities:
    """``link`` makes the address that verifies an account, and says until when it works."""

    def __init__(
        self,
        sessions: Sessions,
        mailer: Mailer,
        letters: Letters,
        *,
        link: Callable[[UUID, datetime], tuple[str, datetime]],
    ) -> None:
        self._sessions = sessions
        self._mailer = mailer
        self._letters = letters
        self._link = link

    @steps.verification.performed_by
    async def verification(self, customer: Customer) -> MailOutcome:
        return await self._send_link(Occasion.VERIFICATION, customer)

    @steps.reminder.performed_by
    async def reminder(self, customer: Customer) -> MailOutcome:
        return await self._send_link(Occasion.REMINDER, customer)

    @steps.order_confirmed.performed_by
    async def order_confirmed(self, about: AboutOrder) -> MailOutcome:
        key = mail_key(Occasion.ORDER_CONFIRMED, about.order_id)
        async with self._sessions() as session:
            if await notifications.was_sent(session, key):
                return MailOutcome.SENT_BEFORE
            order = await order_views.order(session, about.order_id)
        if order is None or order["status"] in NOT_CONFIRMED:
            return MailOutcome.NOBODY_TO_SEND_TO
        return await self._send(self._letters.order_confirmed(key, order["email"], letter_about(order)))

    async def _send_link(self, occasion: Occasion, customer: Customer) -> MailOutcome:
        key = mail_key(occasion, customer.user_id)
        async with self._sessions() as session:
            if await notifications.was_sent(session, key):
                return MailOutcome.SENT_BEFORE
            user = await customers.by_id(session, customer.user_id)
        if user is None or user.status != AccountStatus.PENDING_VERIFICATION:
            return MailOutcome.NOBODY_TO_SEND_TO
        link, until = self._link(user.id, user.created_at)
        to = Recipient(email=user.email, username=user.username)
        return await self._send(self._letters.about_account(occasion, key, to, link=link, until=until))

    async def _send(self, mail: Mail) -> MailOutcome:
        try:
            await self._mailer.send(mail)
        except NoSuchMailboxError:
            return MailOutcome.REFUSED
        async with self._sessions.begin() as session:
            await notifications.note_sent(session, mail.key)
        return MailOutcome.SENT


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
