"""Whatever is done to an order, however it was paid: goods, money and credit add up after every single step."""

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from db import cancellations, credit, order_views, orders, parcels, refunds, returns, undelivered
from db.base import new_id
from db.refunds import RefundWish
from db.returns import ReturnWish, WantedReturn
from domain.deadlines import Term
from domain.errors import Refusal
from domain.events import amount_of
from domain.money import Money
from domain.payments import MoneyBack
from domain.refunds import PaymentRefund, RefundTo, SettleRefund
from domain.returns import DecideReturn, ReceivedUnits, ReceiveReturn, ReturnStatus
from domain.shipping import GiveUpParcel, Remedy, Undelivered, UnitsCancelled
from runtime.resources import Resources
from tests.db.test_cancellations import to_cancel
from tests.db.test_parcels import do
from tests.db.test_paying_with_credit import a_placed, pays_with
from tests.support import orders as order_requests
from tests.support.catalog import a_product, ledger_of, stock_of
from tests.support.credit import a_customer, a_gift_card, balance_of, store_credit
from tests.support.orders import (
    AnOrder,
    a_cart,
    lines_of,
    to_confirm,
    to_move,
    to_place,
    to_plan,
    to_ship,
    written_about,
)

STOCK, ORDERED = 12, (3, 2)
PRICES = ("3.33", "10.00")
PLAIN_TOTAL = 3 * 333 + 2 * 1000 + 499


@dataclass(frozen=True, kw_only=True)
class Wallet:
    """A customer's gift card and store credit, and what they were worth before anything was bought."""

    user_id: UUID
    cards: list[UUID]
    account: UUID
    worth: int


class Books:
    """An order, the provider's own account of its money, and the credit of its customer."""

    def __init__(self, resources: Resources, order: AnOrder, lines: dict[UUID, UUID], wallet: Wallet) -> None:
        self.resources = resources
        self.order = order
        self.lines = lines
        self.wallet = wallet
        self.captured = 0
        self.refunded = 0
        self.version = 0
        self.shown: dict[str, Any] = {}

    async def rows(self, query: str) -> list[Any]:
        async with self.resources.sessions() as session:
            return list(await session.execute(text(query), {"id": self.order.order_id}))

    async def parcel(self, status: str, pick: int) -> UUID | None:
        rows = await self.rows("SELECT id, status FROM fulfillments WHERE order_id = :id ORDER BY id")
        found = [row.id for row in rows if row.status == status]
        return found[pick % len(found)] if found else None

    # --- what people do -------------------------------------------------------------------------------------------

    async def pack(self, pick: int, quantity: int) -> None:
        line = list(self.lines.values())[pick % len(self.lines)]
        await do(self.resources, parcels.plan, to_plan(self.order, (line, quantity)))

    async def pack_all(self, pick: int, quantity: int) -> None:
        await do(self.resources, parcels.plan, to_plan(self.order))

    async def ship(self, pick: int, quantity: int) -> None:
        if parcel := await self.parcel("pending", pick):
            charge = await do(self.resources, parcels.charge, to_ship(self.order, parcel))
            self.captured += charge.amount.minor
            await do(self.resources, parcels.ship, to_ship(self.order, parcel))

    async def pack_and_ship(self, pick: int, quantity: int) -> None:
        await self.pack(pick, quantity)
        await self.ship(9, quantity)

    async def have_a_capture_refused(self, pick: int, quantity: int) -> None:
        if parcel := await self.parcel("pending", pick):
            await do(self.resources, parcels.charge, to_ship(self.order, parcel))

    async def deliver(self, pick: int, quantity: int) -> None:
        if parcel := await self.parcel("shipped", pick):
            await do(self.resources, parcels.deliver, to_move(self.order, parcel))

    async def unpack(self, pick: int, quantity: int) -> None:
        if parcel := await self.parcel("pending", pick):
            await do(self.resources, parcels.cancel, to_move(self.order, parcel))

    async def cancel(self, pick: int, quantity: int) -> None:
        line = list(self.lines.values())[pick % len(self.lines)]
        request = await to_cancel(self.resources, self.order, (line, quantity))
        told: UnitsCancelled = await do(self.resources, cancellations.cancel_units, request)
        if told.is_everything:
            await self.call_off(0, quantity)
        elif told.is_complete:
            async with self.resources.sessions.begin() as session:
                await orders.release_payment(session, self.order.order_id)

    async def call_off(self, pick: int, quantity: int) -> None:
        if pick == 0:  # nothing much can happen after it, so it happens seldom
            await do(self.resources, orders.cancel, order_requests.to_cancel(self.order, money=MoneyBack.VOIDED))

    async def lose(self, pick: int, quantity: int) -> None:
        await self._give_up(pick, Undelivered.LOST, Remedy.RESHIP if quantity % 2 else Remedy.REFUND)

    async def bring_back(self, pick: int, quantity: int) -> None:
        await self._give_up(pick, Undelivered.RETURNED_TO_SENDER, Remedy.RESHIP if quantity % 2 else Remedy.REFUND)

    async def _give_up(self, pick: int, why: Undelivered, remedy: Remedy) -> None:
        if parcel := await self.parcel("shipped", pick):
            request = GiveUpParcel(
                order_id=self.order.order_id,
                fulfillment_id=parcel,
                why=why,
                remedy=remedy,
                is_resellable=pick % 2 == 0,
                replacement_id=new_id(),
                refund_id=new_id(),
                actor="operator:1",
            )
            await do(self.resources, undelivered.give_up, request)

    async def refund_an_amount(self, pick: int, quantity: int) -> None:
        await self._refund(amount=Money(1 + pick * 131, "USD"))

    async def refund_units(self, pick: int, quantity: int) -> None:
        await self._refund(items={list(self.lines.values())[pick % len(self.lines)]: quantity})

    async def refund_everything(self, pick: int, quantity: int) -> None:
        await self._refund()

    async def refund_as_store_credit(self, pick: int, quantity: int) -> None:
        await self._refund(amount=Money(1 + pick * 131, "USD"), goes_to=RefundTo.STORE_CREDIT)

    async def _refund(self, **what: Any) -> None:
        wish = RefundWish(refund_id=new_id(), order_id=self.order.order_id, reason="broken", actor="operator:1", **what)
        await do(self.resources, refunds.request, wish)

    async def settle_refunds(self, pick: int, quantity: int) -> None:
        await self._settle_refunds(lambda refund: (refund.int + pick) % 4 != 0)

    async def _settle_refunds(self, agrees: Callable[[UUID], bool]) -> None:
        asked = "SELECT id, amount - of_credit AS amount FROM refunds WHERE order_id = :id AND status = 'requested'"
        for row in await self.rows(asked):
            is_paid = agrees(row.id)
            self.refunded += row.amount if is_paid else 0
            outcome = PaymentRefund(
                is_refunded=is_paid,
                reference=f"re_{uuid4().hex}" if is_paid else None,
                refusal=None if is_paid else "expired_or_canceled_card",
            )
            settled = SettleRefund(refund_id=row.id, order_id=self.order.order_id, outcome=outcome)
            await do(self.resources, refunds.settle, settled)

    async def send_back(self, pick: int, quantity: int) -> None:
        line = list(self.lines.values())[pick % len(self.lines)]
        wish = ReturnWish(
            return_id=new_id(),
            order_id=self.order.order_id,
            items={line: WantedReturn(quantity=quantity, reason="too small")},
            term=Term(days=30, zone=UTC),
            actor="customer:1",
        )
        await do(self.resources, returns.request, wish)
        decision = ReturnStatus.REJECTED if pick % 5 == 0 else ReturnStatus.APPROVED
        decided = DecideReturn(return_id=wish.return_id, order_id=wish.order_id, decision=decision, actor="operator:1")
        await do(self.resources, returns.decide, decided)

    async def receive(self, pick: int, quantity: int) -> None:
        query = """
            SELECT returns.id, order_line_id, quantity FROM returns JOIN return_items ON return_id = returns.id
            WHERE order_id = :id AND status = 'approved' ORDER BY returns.id LIMIT 1
        """
        for row in await self.rows(query):
            units = ReceivedUnits(
                order_line_id=row.order_line_id, quantity=min(quantity, row.quantity), is_resellable=pick % 2 == 0
            )
            request = ReceiveReturn(
                return_id=row.id, order_id=self.order.order_id, refund_id=new_id(), actor="operator:1", items=[units]
            )
            await do(self.resources, returns.receive, request)

    # --- what holds -----------------------------------------------------------------------------------------------

    async def add_up(self) -> None:
        await self._changes_raise_the_version()
        await self._money_adds_up()
        await self._credit_adds_up()
        await self._goods_add_up()

    async def _changes_raise_the_version(self) -> None:
        async with self.resources.sessions() as session:
            found = await order_views.order(session, self.order.order_id)
        assert found is not None
        shown = {name: value for name, value in found.items() if name not in ("version", "updated_at")}
        assert shown == self.shown or found["version"] > self.version
        self.version, self.shown = found["version"], shown
        newest = "SELECT max(at) AS at FROM order_events WHERE order_id = :id"
        assert found["updated_at"] <= (await self.rows(newest))[0].at

    async def _money_adds_up(self) -> None:
        [money] = await self.rows(
            """
            SELECT payments.authorized, payments.captured, payments.refunded, payments.refunding, payments.credited,
                   payments.status, orders.status AS order_status, orders.total, orders.credit - (
                       SELECT coalesce(sum(amount), 0) FROM credit_entries
                       WHERE order_id = :id AND reason = 'given_back'
                   ) AS credit,
                   (SELECT coalesce(sum(charge), 0) FROM fulfillments
                    WHERE order_id = :id AND shipped_at IS NOT NULL) AS charged,
                   (SELECT coalesce(sum(amount - of_credit), 0) FROM refunds
                    WHERE order_id = :id AND status = 'succeeded' AND goes_to = 'origin') AS paid_back,
                   (SELECT coalesce(sum(amount - of_credit), 0) FROM refunds
                    WHERE order_id = :id AND status = 'requested') AS being_paid_back,
                   (SELECT coalesce(sum(amount - of_credit), 0) FROM refunds
                    WHERE order_id = :id AND status = 'succeeded' AND goes_to = 'store_credit') AS made_credit
            FROM payments JOIN orders ON orders.id = payments.order_id WHERE orders.id = :id
            """
        )
        assert money.refunded + money.refunding + money.credited <= money.captured <= money.authorized
        assert (money.captured, money.refunded) == (self.captured, self.refunded)
        assert (money.charged, money.paid_back, money.being_paid_back, money.made_credit) == (
            money.captured,
            money.refunded,
            money.refunding,
            money.credited,
        )
        lines = await self.rows("SELECT * FROM order_lines WHERE order_id = :id")
        to_pay = money.total - sum(
            (line.line_total - line.discount + line.tax) * line.cancelled // line.quantity for line in lines
        )
        if money.order_status == "cancelled":
            assert money.captured <= to_pay
            return
        assert money.captured + money.credit <= to_pay
        if money.status != "authorized":
            assert money.captured + money.credit == to_pay

    async def _credit_adds_up(self) -> None:
        [moved] = await self.rows(
            """
            SELECT orders.status, orders.credit, entries.*, back.*, (
                       SELECT coalesce(sum(round((payload #>> '{credit_back,amount}')::numeric * 100)), 0)
                       FROM outbox WHERE key = orders.id::text
                   ) AS told_as_given_back
            FROM orders CROSS JOIN LATERAL (
                SELECT coalesce(-sum(amount) FILTER (WHERE reason = 'spent'), 0) AS spent,
                       coalesce(sum(amount) FILTER (WHERE reason = 'given_back'), 0) AS given_back,
                       coalesce(sum(amount) FILTER (WHERE reason = 'refunded'), 0) AS refunded,
                       coalesce(sum(amount) FILTER (WHERE reason = 'converted'), 0) AS converted
                FROM credit_entries WHERE order_id = orders.id
            ) AS entries CROSS JOIN LATERAL (
                SELECT coalesce(sum(of_credit) FILTER (WHERE is_paid AND goes_to = 'origin'), 0) AS to_refund,
                       coalesce(sum(amount) FILTER (WHERE is_paid AND goes_to = 'store_credit'), 0) AS to_convert,
                       coalesce(sum(of_credit) FILTER (WHERE status <> 'failed'), 0) AS promised,
                       coalesce(sum(of_credit) FILTER (WHERE status = 'failed'), 0) AS refused
                FROM (SELECT *, status = 'succeeded' AS is_paid FROM refunds WHERE order_id = orders.id) AS asked_for
            ) AS back WHERE orders.id = :id
            """
        )
        accounts = [*self.wallet.cards, self.wallet.account]
        balances = [await balance_of(self.resources.sessions, account) for account in accounts]
        assert all(balance == entries for balance, entries in balances)
        came_back = moved.given_back + moved.refunded + moved.converted
        assert sum(balance for balance, _ in balances) == self.wallet.worth - moved.spent + came_back
        assert (moved.spent, moved.refunded, moved.converted) == (moved.credit, moved.to_refund, moved.to_convert)
        assert moved.told_as_given_back == moved.given_back
        back = moved.given_back + moved.promised
        assert back <= moved.spent
        if moved.status == "cancelled":  # what the provider has refused waits for a person
            assert moved.spent <= back + moved.refused

    async def give_all_back(self) -> None:
        """Refund what is left, if all is captured and somebody has it: then nothing of the money is the shop's."""
        await self._settle_refunds(lambda refund: True)
        try:
            await self.refund_everything(0, 1)
        except Refusal as refusal:
            if refusal.code != "refund_exceeds_captured":
                return
        await self._settle_refunds(lambda refund: True)
        await self.add_up()
        [left] = await self.rows(
            """
            SELECT payments.captured - payments.refunded - payments.credited AS of_payment,
                   orders.credit - (
                       SELECT coalesce(sum(amount), 0) FROM credit_entries
                       WHERE order_id = :id AND reason = 'given_back'
                   ) - (
                       SELECT coalesce(sum(of_credit), 0) FROM refunds WHERE order_id = :id AND status = 'succeeded'
                   ) AS of_credit
            FROM payments JOIN orders ON orders.id = payments.order_id WHERE orders.id = :id
            """
        )
        assert tuple(left) == (0, 0)

    async def _goods_add_up(self) -> None:
        rows = await self.rows(
            """
            SELECT order_lines.id, order_lines.variant_id, order_lines.quantity, order_lines.cancelled,
                   (SELECT coalesce(sum(items.quantity) FILTER (WHERE fulfillments.status <> 'cancelled'
                                                                OR fulfillments.remedy = 'refund'), 0)
                    FROM fulfillment_items AS items JOIN fulfillments ON fulfillments.id = items.fulfillment_id
                    WHERE items.order_line_id = order_lines.id) AS packed,
                   (SELECT coalesce(sum(items.quantity) FILTER (WHERE fulfillments.shipped_at IS NOT NULL), 0)
                    FROM fulfillment_items AS items JOIN fulfillments ON fulfillments.id = items.fulfillment_id
                    WHERE items.order_line_id = order_lines.id) AS left_us,
                   (SELECT coalesce(sum(on_hand_change), 0) FROM stock_movements
                    WHERE order_id = :id AND reason = 'returned'
                      AND variant_id = order_lines.variant_id) AS came_back,
                   (SELECT coalesce(sum(quantity - shipped - released), 0) FROM stock_holds
                    WHERE order_id = :id AND variant_id = order_lines.variant_id) AS held,
                   (SELECT coalesce(sum(items.quantity), 0)
                    FROM refund_items AS items JOIN refunds ON refunds.id = items.refund_id
                    WHERE items.order_line_id = order_lines.id AND refunds.status <> 'failed') AS refunded
            FROM order_lines WHERE order_lines.order_id = :id
            """
        )
        for line in rows:
            assert line.packed + line.cancelled <= line.quantity
            assert line.refunded <= line.quantity - line.cancelled
            stock = await stock_of(self.resources.sessions, line.variant_id)
            assert stock == await ledger_of(self.resources.sessions, line.variant_id)
            assert stock.on_hand == STOCK - line.left_us + line.came_back
            assert stock.reserved == line.held


DEEDS: list[Callable[[Books, int, int], Awaitable[None]]] = [
    Books.pack,
    Books.pack_all,
    Books.ship,
    Books.pack_and_ship,
    Books.pack_and_ship,
    Books.pack_and_ship,
    Books.have_a_capture_refused,
    Books.deliver,
    Books.deliver,
    Books.unpack,
    Books.cancel,
    Books.call_off,
    Books.lose,
    Books.lose,
    Books.bring_back,
    Books.refund_an_amount,
    Books.refund_units,
    Books.refund_everything,
    Books.refund_as_store_credit,
    Books.settle_refunds,
    Books.send_back,
    Books.receive,
]

sequences = st.lists(st.tuples(st.sampled_from(DEEDS), st.integers(0, 9), st.integers(1, 3)), min_size=12, max_size=30)


@dataclass(frozen=True, kw_only=True)
class Amounts:
    """Discounts and taxes of the two lines and of shipping, which costs 4.99."""

    discounts: tuple[int, int, int]
    taxes: tuple[int, int, int]

    @property
    def added(self) -> int:
        return sum(self.taxes) - sum(self.discounts)


PLAIN = Amounts(discounts=(0, 0, 0), taxes=(0, 0, 0))
some_amounts = st.sampled_from(
    [
        PLAIN,
        Amounts(discounts=(7, 0, 0), taxes=(0, 199, 0)),
        Amounts(discounts=(250, 1000, 499), taxes=(61, 83, 0)),
        Amounts(discounts=(999, 2000, 499), taxes=(0, 0, 0)),
        Amounts(discounts=(998, 0, 0), taxes=(1, 165, 41)),
    ]
)
some_credit = st.sampled_from([(0, 0), (1234, 0), (0, 501), (1000, 700), (600, 9_999)])
"""What a gift card and a customer's store credit are worth; the last two together pay for all of it."""
of_any_kind = given(sequence=sequences, amounts=some_amounts, worth=some_credit)
thoroughly = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.mark.timeout(600)
@settings(thoroughly, max_examples=25)
@of_any_kind
async def test_goods_and_money_add_up_after_every_step_of_any_sequence(
    resources: Resources, sequence: list[Any], amounts: Amounts, worth: tuple[int, int]
) -> None:
    await add_up_all_along(resources, sequence, amounts, worth)


@pytest.mark.soak
@pytest.mark.timeout(3600)
@settings(thoroughly, max_examples=1000)
@of_any_kind
async def test_they_add_up_in_a_thousand_sequences(
    resources: Resources, sequence: list[Any], amounts: Amounts, worth: tuple[int, int]
) -> None:
    await add_up_all_along(resources, sequence, amounts, worth)


async def add_up_all_along(resources: Resources, sequence: list[Any], amounts: Amounts, worth: tuple[int, int]) -> None:
    sessions = resources.sessions
    wallet = await a_wallet(resources, worth, most=PLAIN_TOTAL + amounts.added)
    order = await an_order_paid_with(resources, wallet)
    await as_promotions_and_taxes_leave_it(resources, order, amounts)
    books = Books(resources, order, await lines_of(sessions, order), wallet)

    for deed, pick, quantity in sequence:
        before = await written_about(sessions, order.order_id, order.cart_id)
        try:
            await deed(books, pick, quantity)
        except Refusal:
            after = await written_about(sessions, order.order_id, order.cart_id)
            assert (after.payment, after.holds, after.parcels) == (before.payment, before.holds, before.parcels)
        await books.add_up()
    await books.give_all_back()


async def a_wallet(resources: Resources, worth: tuple[int, int], *, most: int) -> Wallet:
    """A gift card and store credit, together worth no more than what there will be to pay."""
    user, (on_card, in_account) = await a_customer(resources.sessions), worth
    on_card = min(on_card, most)
    in_account = min(in_account, most - on_card)
    cards = [(await a_gift_card(resources.sessions, Money(on_card, "USD").amount))[0]] if on_card else []
    async with resources.sessions.begin() as session:
        account = await credit.account_of(session, user, "USD")
    if in_account:
        await store_credit(resources.sessions, user, Money(in_account, "USD").amount)
    return Wallet(user_id=user, cards=cards, account=account, worth=on_card + in_account)


async def an_order_paid_with(resources: Resources, wallet: Wallet) -> AnOrder:
    sessions = resources.sessions
    products = [await a_product(sessions, price=price, stock=STOCK) for price in PRICES]
    contents = [(product.variant_id, units) for product, units in zip(products, ORDERED, strict=True)]
    cart = await a_cart(sessions, *contents, user_id=wallet.user_id)
    await pays_with(resources, cart, *wallet.cards, uses_store_credit=True)
    order = await a_placed(resources, await to_place(sessions, cart))
    await do(resources, orders.confirm, to_confirm(order))
    return order


async def as_promotions_and_taxes_leave_it(resources: Resources, order: AnOrder, amounts: Amounts) -> None:
    changes = {
        "id": order.order_id,
        "discounts": list(amounts.discounts[:2]),
        "taxes": list(amounts.taxes[:2]),
        "discount": sum(amounts.discounts),
        "tax": sum(amounts.taxes),
        "shipping_discount": amounts.discounts[2],
        "shipping_tax": amounts.taxes[2],
        "added": amounts.added,
        "told": json.dumps(
            {
                "discount": amount_of(Money(sum(amounts.discounts), order.total.currency)),
                "tax": amount_of(Money(sum(amounts.taxes), order.total.currency)),
                "total": amount_of(Money(PLAIN_TOTAL + amounts.added, order.total.currency)),
            }
        ),
    }
    async with resources.sessions.begin() as session:
        for change in (
            "UPDATE order_lines SET discount = (CAST(:discounts AS bigint[]))[position], "
            "tax = (CAST(:taxes AS bigint[]))[position] WHERE order_id = :id",
            "UPDATE orders SET discount = :discount, tax = :tax, shipping_discount = :shipping_discount, "
            "shipping_tax = :shipping_tax, total = total + :added WHERE id = :id",
            "UPDATE payments SET amount = amount + :added, authorized = authorized + :added, "
            "provider = CASE WHEN amount + :added = 0 THEN 'nothing' ELSE 'stripe' END WHERE order_id = :id",
            "UPDATE outbox SET payload = payload || CAST(:told AS jsonb) "
            "WHERE key = CAST(CAST(:id AS uuid) AS text) AND type = 'order.placed'",
        ):
            await session.execute(text(change), changes)
