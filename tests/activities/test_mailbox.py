"""Letters about orders are sent once, as soon as they can be, and only while there is a reason to."""

import asyncio
import signal
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

import pytest
from aiosmtpd.smtp import SMTP, Envelope, Session
from sqlalchemy import text
from temporalio.testing import ActivityEnvironment

from activities.mailbox import MailboxActivities
from db import mailbox, orders, parcels
from domain.notifications import Carried, Mail, Occasion, Shift
from providers.mail.base import MailNotAcceptedError, NoSuchMailboxError
from providers.mail.letters import Letters
from runtime.databases import migrated
from runtime.resources import Resources, opened
from runtime.settings import Settings
from tests.providers.test_mail import Server, listening
from tests.support.catalog import a_product
from tests.support.orders import a_confirmed_order, a_placed_order, to_cancel, to_confirm, to_move, to_plan, to_ship
from tests.support.processes import uncounted
from tests.support.waiting import eventually


@dataclass
class Postman:
    """Takes every mail, or fails as told."""

    error: Exception | None = None
    mails: list[Mail] = field(default_factory=list)

    async def send(self, mail: Mail) -> None:
        if self.error:
            raise self.error
        self.mails.append(mail)


@pytest.fixture(scope="module")
async def resources(settings: Settings) -> AsyncIterator[Resources]:
    """A shop of its own, where nobody else carries letters."""
    schema = f"mailbox_{uuid4().hex[:8]}"
    database = settings.database.model_copy(update={"shop_schema": schema})
    await asyncio.to_thread(migrated, database)
    async with opened(settings.model_copy(update={"database": database})) as own:
        yield own


async def letter(resources: Resources, order_id: UUID) -> dict[str, Any]:
    async with resources.sessions() as session:
        found = await session.execute(
            text("SELECT attempts, problem, outcome, next_try_at > now() AS later FROM letters WHERE about = :id"),
            {"id": order_id},
        )
        return dict(found.mappings().one())


async def a_letter(resources: Resources) -> UUID:
    """Asked for by an order's confirmation, and by nothing else."""
    product = await a_product(resources.sessions, price="19.99", name="Tea")
    return (await a_confirmed_order(resources.sessions, (product.variant_id, 2))).order_id


def carrier(resources: Resources, postman: Postman) -> MailboxActivities:
    return MailboxActivities(
        resources.sessions,
        postman,
        Letters(shop_name="Sutler"),
        unsubscribe=lambda address_hash: f"https://shop.example/unsubscribe?token={address_hash.hex()}",
    )


async def carry_all(resources: Resources, postman: Postman) -> None:
    while await carrier(resources, postman).carry_a_bundle():
        pass


def mails_about(postman: Postman, order_id: UUID) -> list[Mail]:
    return [mail for mail in postman.mails if str(order_id) in mail.key]


async def test_a_confirmed_order_is_mailed_once_with_its_lines_and_its_total(resources: Resources) -> None:
    postman, order_id = Postman(), await a_letter(resources)

    await carry_all(resources, postman)
    await carry_all(resources, postman)

    [mail] = mails_about(postman, order_id)
    assert mail.key == f"order_confirmed:{order_id}"
    assert mail.to == "ada.testcase@example.com"
    assert "2 x Tea at $19.99: $39.98" in mail.text
    assert "Total: $44.97" in mail.text
    assert await letter(resources, order_id) == {"attempts": 1, "problem": None, "outcome": "sent", "later": False}


async def test_a_parcel_that_leaves_is_mailed_once_with_its_number_and_the_carriers_page(resources: Resources) -> None:
    postman = Postman()
    product = await a_product(resources.sessions, name="Tea")
    order = await a_confirmed_order(resources.sessions, (product.variant_id, 2))
    plan = to_plan(order)
    async with resources.sessions.begin() as session:
        await parcels.plan(session, plan)
        for _ in range(2):
            await parcels.ship(session, to_ship(order, plan.fulfillment_id))

    await carry_all(resources, postman)
    await carry_all(resources, postman)

    [mail] = [mail for mail in postman.mails if mail.key == f"parcel_shipped:{plan.fulfillment_id}"]
    assert mail.to == "ada.testcase@example.com"
    assert "2 x Tea" in mail.text
    number = to_ship(order, plan.fulfillment_id).tracking_number
    assert f"https://www.ups.com/track?tracknum={number}" in mail.text


async def test_confirming_again_asks_for_no_second_letter(resources: Resources) -> None:
    product = await a_product(resources.sessions)
    order = await a_placed_order(resources.sessions, (product.variant_id, 1))
    for _ in range(2):
        async with resources.sessions.begin() as session:
            await orders.confirm(session, to_confirm(order))

    assert (await letter(resources, order.order_id))["outcome"] is None


async def test_an_order_that_was_cancelled_meanwhile_is_not_confirmed_by_mail(resources: Resources) -> None:
    postman, order_id = Postman(), await a_letter(resources)
    async with resources.sessions.begin() as session:
        await session.execute(
            text("UPDATE orders SET status = 'cancelled', cancel_reason = 'customer' WHERE id = :id"), {"id": order_id}
        )

    await carry_all(resources, postman)

    assert mails_about(postman, order_id) == []
    assert (await letter(resources, order_id))["outcome"] == "nobody_to_send_to"


@pytest.mark.matrix("checkout: the mail server is away")
async def test_what_the_server_does_not_take_now_is_tried_later(resources: Resources) -> None:
    postman, order_id = Postman(MailNotAcceptedError("SMTP 451")), await a_letter(resources)
    await carry_all(resources, postman)
    assert await letter(resources, order_id) == {"attempts": 1, "problem": "SMTP 451", "outcome": None, "later": True}

    postman.error = None
    async with resources.sessions.begin() as session:
        await session.execute(text("UPDATE letters SET next_try_at = now() WHERE about = :id"), {"id": order_id})
    await carry_all(resources, postman)

    assert len(mails_about(postman, order_id)) == 1
    assert await letter(resources, order_id) == {"attempts": 2, "problem": None, "outcome": "sent", "later": False}


async def test_after_a_day_of_trying_it_is_given_up(resources: Resources) -> None:
    order_id = await a_letter(resources)
    async with resources.sessions.begin() as session:
        await session.execute(
            text("UPDATE letters SET asked_at = now() - interval '25 hours' WHERE about = :id"), {"id": order_id}
        )

    await carry_all(resources, Postman(MailNotAcceptedError("SMTP 451")))

    assert (await letter(resources, order_id))["outcome"] == "given_up"


async def test_a_mailbox_that_does_not_exist_is_not_tried_again(resources: Resources) -> None:
    order_id = await a_letter(resources)

    await carry_all(resources, Postman(NoSuchMailboxError("SMTP 550")))

    assert await letter(resources, order_id) == {"attempts": 1, "problem": None, "outcome": "refused", "later": False}


async def test_two_carriers_never_carry_the_same_letter(resources: Resources) -> None:
    confirmed = [await a_letter(resources) for _ in range(8)]
    first, second = Postman(), Postman()

    await asyncio.gather(carry_all(resources, first), carry_all(resources, second))

    for order_id in confirmed:
        assert len(mails_about(first, order_id)) + len(mails_about(second, order_id)) == 1


async def test_a_letter_whose_transaction_fails_is_never_sent(resources: Resources) -> None:
    postman, about = Postman(), uuid4()

    async with resources.sessions() as session:
        await mailbox.ask_for(session, Occasion.ORDER_CONFIRMED, about)
        await session.rollback()
    await carry_all(resources, postman)

    assert mails_about(postman, about) == []


async def test_a_shift_ends_when_its_time_is_over_and_says_what_it_carried(resources: Resources) -> None:
    postman, order_id = Postman(), await a_letter(resources)
    environment = ActivityEnvironment()
    heard: list[Any] = []
    environment.on_heartbeat = lambda *said: heard.append(said)

    carried = await environment.run(carrier(resources, postman).carry, Shift(seconds=0.5))

    assert isinstance(carried, Carried)
    assert carried.letters >= 1
    assert heard[-1] == (carried.letters,)
    assert len(mails_about(postman, order_id)) == 1


async def test_a_stopping_worker_does_not_wait_for_the_end_of_the_shift(resources: Resources) -> None:
    environment = ActivityEnvironment()
    shift = asyncio.ensure_future(environment.run(carrier(resources, Postman()).carry, Shift(seconds=3600)))
    environment.worker_shutdown()

    async def is_over() -> bool:
        return shift.done()

    await eventually(is_over)
    assert isinstance(shift.result(), Carried)


@dataclass
class Murderer(Server):
    """Takes a letter for good, and kills whoever brought it before they hear that."""

    victim: Process | None = None

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        answer = await super().handle_DATA(server, session, envelope)
        if self.victim is not None:
            self.victim.kill()
        return answer


async def test_a_letter_whose_carrier_was_killed_after_the_server_took_it_comes_again_as_the_same_mail(
    resources: Resources, environment: dict[str, str]
) -> None:
    await carry_all(resources, Postman())
    order_id = await a_letter(resources)
    async with listening(Murderer()) as server:
        own = {
            **environment,
            "APP_DATABASE__SHOP_SCHEMA": resources.settings.database.shop_schema,
            "APP_MAIL__PORT": str(server.port),
        }
        carrying = (sys.executable, "-m", "tests.activities.carrying_letters")
        server.victim = await asyncio.create_subprocess_exec(*carrying, env={**uncounted(), **own})
        assert await server.victim.wait() == -signal.SIGKILL
        assert (await letter(resources, order_id))["outcome"] is None

        server.victim = None
        second = await asyncio.create_subprocess_exec(*carrying, env={**uncounted(), **own})
        assert await second.wait() == 0

    assert [mail["Message-ID"] for mail in server.letters] == [f"<order_confirmed.{order_id}@example.com>"] * 2
    assert await letter(resources, order_id) == {"attempts": 1, "problem": None, "outcome": "sent", "later": False}


async def test_an_order_is_written_about_in_the_language_of_its_cart(resources: Resources) -> None:
    postman, product = Postman(), await a_product(resources.sessions, price="19.99", name="Tea")
    order = await a_confirmed_order(resources.sessions, (product.variant_id, 2))
    async with resources.sessions.begin() as session:
        await session.execute(text("UPDATE carts SET languages = '{de-AT,de}' WHERE id = :id"), {"id": order.cart_id})

    await carry_all(resources, postman)

    [mail] = mails_about(postman, order.order_id)
    assert mail.subject == f"Sutler: Ihre Bestellung {order.order_number}"
    assert "2 x Tea zu $\N{NO-BREAK SPACE}19,99: $\N{NO-BREAK SPACE}39,98" in mail.text


async def test_arrivals_cancellations_and_refunds_are_mailed_once_and_only_where_they_are_news(
    resources: Resources,
) -> None:
    postman, product = Postman(), await a_product(resources.sessions, name="Tea", stock=20)
    arrived = await a_confirmed_order(resources.sessions, (product.variant_id, 1))
    cancelled = await a_confirmed_order(resources.sessions, (product.variant_id, 1))
    never_paid = await a_placed_order(resources.sessions, (product.variant_id, 1))
    plan = to_plan(arrived)
    async with resources.sessions.begin() as session:
        await parcels.plan(session, plan)
        await parcels.ship(session, to_ship(arrived, plan.fulfillment_id))
    for _ in range(2):
        async with resources.sessions.begin() as session:
            await parcels.deliver(session, to_move(arrived, plan.fulfillment_id))
            for order in (cancelled, never_paid):
                await orders.cancel(session, to_cancel(order))

    await carry_all(resources, postman)

    about = {
        order.order_id: sorted(mail.key.partition(":")[0] for mail in mails_about(postman, order.order_id))
        for order in (arrived, cancelled, never_paid)
    }
    assert about == {
        arrived.order_id: ["order_confirmed", "order_delivered"],
        cancelled.order_id: ["order_cancelled"],
        never_paid.order_id: [],
    }
