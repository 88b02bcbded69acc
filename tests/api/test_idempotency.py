"""Whatever moves money or goods can be asked for again: with the same key it is the same wish, and for ever."""

import asyncio
import json
import re
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from sqlalchemy import text
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.workflowservice.v1 import DeleteWorkflowExecutionRequest
from temporalio.service import RPCError

from domain.customers import Role
from runtime.resources import Resources
from tests.api.test_operators import LABEL, Desk, an_order, is_problem
from tests.support.catalog import a_product, ledger_of
from tests.support.ledger import moved
from tests.support.shopper import ADDRESS, Shopper
from tests.support.staff import headers_of
from tests.support.waiting import eventually
from workflows import names

Json = dict[str, Any]
DOCUMENT = Path(__file__).parents[2] / "docs" / "idempotency.md"
TOO_MUCH = {"amount": "1000.00", "currency": "USD"}


@dataclass
class World:
    """A shop with one order of 3 x 10.00 tea and 4.99 for shipping, and everybody who may ask something of it."""

    http: httpx.AsyncClient
    sandbox: httpx.AsyncClient
    resources: Resources
    desk: Desk
    operator: dict[str, str]
    order: Json
    variant: UUID

    @property
    def line(self) -> str:
        return str(self.order["items"][0]["id"])

    async def now(self) -> Json:
        return await self.desk.order(self.order)

    async def packed(self) -> str:
        return await self.desk.packs(self.order)

    async def shipped(self) -> str:
        parcel = await self.packed()
        await self.desk.ships(parcel)
        return parcel

    async def delivered(self) -> str:
        parcel = await self.shipped()
        assert (await self.desk.post(f"/fulfillments/{parcel}/deliver")).status_code == 200
        return parcel

    async def announced(self, *moves: str) -> str:
        """A return of one unit, moved as far as that."""
        await self.delivered()
        items = [{"order_item_id": self.line, "quantity": 1, "reason": "too small"}]
        made = await self.http.post(
            f"/v1/orders/{self.order['id']}/returns", json={"items": items}, headers=self.operator
        )
        assert made.status_code == 201, made.text
        for move in moves:
            assert (await self.desk.post(f"/returns/{made.json()['id']}/{move}")).status_code == 200
        return str(made.json()["id"])

    async def stuck(self) -> str:
        """Its capture is refused, because somebody voided the payment behind the shop's back."""
        parcel, intent = await self.packed(), self.order["payment"]["provider_reference"]
        await self.sandbox.post(
            f"/v1/payment_intents/{intent}/cancel", headers={"Authorization": "Bearer sk_test_sutler"}
        )
        is_problem(await self.desk.post(f"/fulfillments/{parcel}/ship", LABEL), 409, "capture_refused")
        return parcel

    async def send(self, wish: "Request", key: str, *, who: dict[str, str] | None = None) -> httpx.Response:
        headers = {**(who or self.operator), "Idempotency-Key": key}
        return await self.http.post(wish.path, json=wish.body, headers=headers)


@dataclass(frozen=True)
class Request:
    path: str
    body: Json | None = None


@dataclass(frozen=True)
class Family:
    """One route: what is asked, another request that is not the same wish, and what can be counted afterwards."""

    asked: Request
    other: Request
    status: int
    done: Callable[[World], Awaitable[Any]]
    """What was done, in a form that doing it twice would change."""
    expected: Any


async def packs(world: World) -> Family:
    path = f"/v1/admin/orders/{world.order['id']}/fulfillments"
    one = {"items": [{"order_item_id": world.line, "quantity": 1}]}
    two = {"items": [{"order_item_id": world.line, "quantity": 2}]}
    return Family(Request(path, one), Request(path, two), 201, parcels, [("pending", 1)])


async def ships(world: World) -> Family:
    path = f"/v1/admin/fulfillments/{await world.packed()}/ship"
    other = Request(path, {**LABEL, "tracking_number": "another"})
    return Family(Request(path, LABEL), other, 200, money, [("authorize", 3499), ("capture", 3499)])


async def delivers(world: World) -> Family:
    path = f"/v1/admin/fulfillments/{await world.shipped()}"
    return Family(Request(f"{path}/deliver"), Request(f"{path}/cancel"), 200, deliveries, 1)


async def unpacks(world: World) -> Family:
    path = f"/v1/admin/fulfillments/{await world.packed()}"
    return Family(Request(f"{path}/cancel"), Request(f"{path}/deliver"), 200, parcels, [("cancelled", 3)])


async def loses(world: World) -> Family:
    path = f"/v1/admin/fulfillments/{await world.shipped()}/lost"
    asked, other = Request(path, {"remedy": "reship"}), Request(path, {"remedy": "refund"})
    return Family(asked, other, 200, parcels, [("cancelled", 3), ("pending", 3)])


async def takes_back(world: World) -> Family:
    path = f"/v1/admin/fulfillments/{await world.shipped()}/returned-to-sender"
    asked, other = Request(path, {"remedy": "refund"}), Request(path, {"remedy": "refund", "is_resellable": False})
    expected = [("authorize", 3499), ("capture", 3499), ("refund", 3499)]
    return Family(asked, other, 200, money_in_the_end, expected)


async def cancels(world: World) -> Family:
    path = f"/v1/orders/{world.order['id']}/cancel"
    asked, other = Request(path, {"reason": "no more"}), Request(path, {"reason": "another"})
    return Family(asked, other, 200, money, [("authorize", 3499), ("void", 3499)])


async def cancels_units(world: World) -> Family:
    path = f"/v1/orders/{world.order['id']}/cancel"
    asked = {"reason": "no more", "items": [{"order_item_id": world.line, "quantity": 1}]}
    other = {"reason": "no more", "items": [{"order_item_id": world.line, "quantity": 2}]}
    return Family(Request(path, asked), Request(path, other), 200, cancelled_units, 1)


async def refunds(world: World) -> Family:
    await world.shipped()
    path = f"/v1/admin/orders/{world.order['id']}/refunds"
    asked, other = (
        {"amount": {"amount": amount, "currency": "USD"}, "reason": "came broken"} for amount in ("5.00", "6.00")
    )
    expected = [("authorize", 3499), ("capture", 3499), ("refund", 500)]
    return Family(Request(path, asked), Request(path, other), 201, money, expected)


async def asks_to_return(world: World) -> Family:
    await world.delivered()
    path = f"/v1/orders/{world.order['id']}/returns"
    one, two = (
        {"items": [{"order_item_id": world.line, "quantity": units, "reason": "too small"}]} for units in (1, 2)
    )
    return Family(Request(path, one), Request(path, two), 201, returns, ["requested"])


async def approves(world: World) -> Family:
    path = f"/v1/admin/returns/{await world.announced()}"
    return Family(Request(f"{path}/approve"), Request(f"{path}/reject"), 200, returns, ["approved"])


async def rejects(world: World) -> Family:
    path = f"/v1/admin/returns/{await world.announced()}"
    return Family(Request(f"{path}/reject"), Request(f"{path}/approve"), 200, returns, ["rejected"])


async def receives(world: World) -> Family:
    path = f"/v1/admin/returns/{await world.announced('approve')}/receive"
    other = Request(path, {"items": [{"order_item_id": world.line, "quantity": 1, "is_resellable": False}]})
    expected = [("authorize", 3499), ("capture", 3499), ("refund", 1000)]
    return Family(Request(path), other, 200, money, expected)


async def resolves(world: World) -> Family:
    await world.stuck()
    path = f"/v1/admin/orders/{world.order['id']}/resolve"
    asked, other = ({"decision": decision, "note": "no other card"} for decision in ("cancel", "retry"))
    return Family(Request(path, asked), Request(path, other), 200, decisions, [("cancelled", 1)])


async def adjusts(world: World) -> Family:
    path = f"/v1/variants/{world.variant}/stock-adjustments"
    asked, other = ({"quantity_change": change, "reason": "counted"} for change in (4, 5))
    return Family(Request(path, asked), Request(path, other), 201, on_hand, 13)


async def parcels(world: World) -> list[tuple[str, int]]:
    found = (await world.now())["fulfillments"]
    return sorted((parcel["status"], sum(item["quantity"] for item in parcel["items"])) for parcel in found)


async def money(world: World) -> list[tuple[str, int]]:
    return await moved(world.sandbox, world.order)


async def money_in_the_end(world: World) -> list[tuple[str, int]]:
    async def is_refunded() -> bool:
        return bool((await world.now())["payment"]["status"] == "refunded")

    await eventually(is_refunded)
    return await moved(world.sandbox, world.order)


async def events(world: World) -> list[str]:
    answer = await world.http.get(f"/v1/orders/{world.order['id']}/events?limit=100", headers=world.operator)
    return [event["type"] for event in answer.json()["items"]]


async def deliveries(world: World) -> int:
    return (await events(world)).count("fulfillment.delivered")


async def cancelled_units(world: World) -> int:
    return int((await world.now())["items"][0]["cancelled_quantity"])


async def returns(world: World) -> list[str]:
    return [goods["status"] for goods in (await world.now())["returns"]]


async def decisions(world: World) -> list[tuple[str, int]]:
    """How the order ended, and how often the audit log says who decided that."""
    async with world.resources.sessions() as session:
        noted = await session.scalar(
            text("SELECT count(*) FROM audit_log WHERE order_id = :id AND action LIKE 'resolve:%'"),
            {"id": world.order["id"]},
        )
    return [((await world.now())["status"], noted or 0)]


async def on_hand(world: World) -> int:
    return (await ledger_of(world.resources.sessions, world.variant)).on_hand


FAMILIES = [
    packs,
    ships,
    delivers,
    unpacks,
    loses,
    takes_back,
    cancels,
    cancels_units,
    refunds,
    asks_to_return,
    approves,
    rejects,
    receives,
    resolves,
    adjusts,
]

WITHOUT_A_KEY = {
    "/v1/webhooks/stripe": "an event has an id of its own and counts once",
    "/v1/webhooks/easypost": "a message has an id of its own and counts once",
    "/v1/auth/register": "an e-mail address has one account",
    "/v1/auth/verify-email": "a link that is followed twice is answered the same",
    "/v1/auth/login": "a session moves nothing",
    "/v1/auth/refresh": "a token is traded once; used twice it ends its session, which a key must not hide",
    "/v1/auth/logout": "a session ends once",
    "/v1/auth/password-reset": "a mail, of which an account gets so many in an hour",
    "/v1/auth/password-reset/confirm": "a mailed link works once",
    "/v1/auth/email-change/confirm": "a mailed link works once",
    "/v1/auth/email-change/refuse": "a mailed link works once",
    "/v1/users/me/email": "the last wish counts, and each is confirmed by mail",
    "/v1/users/me/addresses": "an address in a book moves nothing",
    "/v1/users/me/second-factor": "the last secret counts, once its first code has come",
    "/v1/users/me/second-factor/confirm": "a code is taken once",
    "/v1/users/me/second-factor/disable": "a code is taken once",
    "/v1/admin/invitations": "the last invitation of an address counts",
    "/v1/auth/invitations/accept": "a mailed link works once",
    "/v1/carts": "nothing is reserved or owed before the checkout",
    "/v1/carts/{id}/items": "nothing is reserved or owed before the checkout",
    "/v1/categories": "nothing of it is sold",
    "/v1/admin/tax-regions": "a region that is there is refused",
    "/v1/admin/tax-rates": "a region has one rate of a name for each class",
    "/v1/admin/locations": "a code that is taken is refused, and there is no stock at a new one",
    "/v1/admin/api-keys": "a key is shown once, and not kept in an answer; one too many is revoked",
    "/v1/admin/erasures": "a person is forgotten once",
    "/v1/carts/{id}/acknowledge-prices": "nothing is reserved or owed before the checkout",
    "/v1/carts/{id}/promotion-codes": "a code is in a cart once",
    "/v1/admin/promotions/{id}/codes": "a code is there once, and its promotion keeps it",
    "/v1/carts/{id}/gift-cards": "a card is in a cart once, and nothing is taken from it before the checkout",
    "/v1/gift-cards/balance": "it only reads",
    "/unsubscribe": "content when the address said so before",
    "/v1/unsubscribe": "content when the address said so before",
    "/v1/carts/{id}/claim": "a cart is claimed once, and then answered as it is",
    "/v1/admin/customer-groups": "a code exists once",
    "/v1/admin/price-lists": "a code exists once, and a new list holds no price",
    "/codec/decode": "it only reads",
    "/codec/encode": "nothing is kept of it",
    "/v1/admin/webhook-endpoints": "a secret is shown once, and not kept in an answer; one too many is removed",
    "/v1/admin/webhook-endpoints/{id}/rotate-secret": "the same; a second time takes no secret away that is in use",
    "/v1/admin/webhook-endpoints/{id}/ping": "a ping says nothing, also twice",
    "/v1/admin/webhook-endpoints/{id}/replay": "an event waits for an endpoint once",
    "/v1/admin/webhook-deliveries/{id}/redeliver": "an event waits for an endpoint once",
    "/v1/admin/orders/{id}/resume": "content when the order's workflow runs",
}
"""Unsafe routes that move neither money nor stock and make no order, each with what becomes of a second time."""


async def test_every_post_takes_a_key_or_says_why_it_needs_none(api: httpx.AsyncClient) -> None:
    document = (await api.get("/openapi.json")).json()
    takes_a_key = {
        re.sub(r"{\w+}", "{id}", path): "Idempotency-Key" in {known["name"] for known in of.get("parameters", ())}
        for path, operations in document["paths"].items()
        for method, of in operations.items()
        if method == "post"
    }

    assert {path for path, takes in takes_a_key.items() if not takes} == WITHOUT_A_KEY.keys()
    assert {path for path, takes in takes_a_key.items() if takes} == set(documented_routes())


def documented_routes() -> Iterator[str]:
    """The routes in the table of docs/idempotency.md; `/b` behind `/v1/a` in one row stands in the place of its end."""
    for row in re.findall(r"^\| (`/v1[^|]*)\|", DOCUMENT.read_text(), re.MULTILINE):
        first, *others = re.findall(r"`(/[^`]*)`", row)
        yield first
        yield from (f"{first.rpartition('/')[0]}{other}" for other in others)


of_every_route = pytest.mark.parametrize("prepared", FAMILIES, ids=lambda prepared: prepared.__name__)


@pytest.fixture
async def world(
    api: httpx.AsyncClient, sandbox: httpx.AsyncClient, resources: Resources, operator: dict[str, str]
) -> World:
    product = await a_product(resources.sessions, price="10.00", stock=9)
    order = await an_order(api, (product, 3))
    return World(api, sandbox, resources, Desk(api, operator), operator, order, product.variant_id)


@of_every_route
@pytest.mark.matrix("cancel: sent again, or by many at once")
@pytest.mark.matrix("ship: sent again, or by many at once")
async def test_fifty_twins_with_one_key_do_it_once_and_hear_the_same(
    world: World, prepared: Callable[[World], Awaitable[Family]]
) -> None:
    family, key = await prepared(world), str(uuid4())

    answers = await asyncio.gather(*(world.send(family.asked, key) for _ in range(50)))

    assert Counter(answer.status_code for answer in answers) == {family.status: 50}, answers[0].text
    assert Counter(answer.headers.get("Idempotency-Replayed") for answer in answers) == {"true": 49, None: 1}
    [first] = [answer for answer in answers if "Idempotency-Replayed" not in answer.headers]
    assert all(answer.json() == first.json() for answer in answers)
    assert await family.done(world) == family.expected


@of_every_route
async def test_a_key_is_for_one_request_of_one_caller(
    world: World, prepared: Callable[[World], Awaitable[Family]]
) -> None:
    family, key = await prepared(world), str(uuid4())
    assert (await world.send(family.asked, key)).status_code == family.status

    is_problem(await world.send(family.other, key), 422, "idempotency_key_reused")

    assert await family.done(world) == family.expected
    colleague = await headers_of(world.resources, Role.OPERATOR)
    assert "Idempotency-Replayed" not in (await world.send(family.asked, key, who=colleague)).headers


@of_every_route
@pytest.mark.matrix("checkout: repeated when the engine has forgotten it")
async def test_the_first_answer_comes_again_when_the_engine_has_forgotten_everything(
    world: World, prepared: Callable[[World], Awaitable[Family]]
) -> None:
    family, key = await prepared(world), str(uuid4())
    first = await world.send(family.asked, key)
    assert first.status_code == family.status, first.text
    assert await family.done(world) == family.expected
    await the_engine_forgets(world)

    again = await world.send(family.asked, key)

    assert (again.status_code, again.json()) == (first.status_code, first.json())
    assert again.headers["Idempotency-Replayed"] == "true"
    assert await family.done(world) == family.expected


async def the_engine_forgets(world: World) -> None:
    """Every workflow of this order is gone: asked for anything, the engine says that it knows of none."""
    order, engine = await world.now(), world.resources.temporal
    for workflow_id in (
        names.order_id(UUID(order["id"])),
        *(names.refund_id(UUID(refund["id"])) for refund in order["refunds"]),
        *(names.return_id(UUID(goods["id"])) for goods in order["returns"]),
    ):
        with suppress(RPCError):  # it has ended by itself
            await engine.get_workflow_handle(workflow_id).terminate("its retention is over")
        # The engine deletes in its own time, and no answer may wait for that or depend on it.
        await engine.workflow_service.delete_workflow_execution(
            DeleteWorkflowExecutionRequest(
                namespace=engine.namespace, workflow_execution=WorkflowExecution(workflow_id=workflow_id)
            )
        )


@of_every_route
@pytest.mark.matrix("cancel: the API dies before its answer")
async def test_what_was_done_is_not_done_again_when_only_its_answer_was_lost(
    world: World, prepared: Callable[[World], Awaitable[Family]]
) -> None:
    """As after a kill of the API between the deed and its answer."""
    family, key = await prepared(world), str(uuid4())
    first = await world.send(family.asked, key)
    async with world.resources.sessions.begin() as session:
        if family.done is on_hand:
            pytest.skip("the deed and its answer are one transaction")
        await session.execute(
            text("UPDATE idempotency_keys SET answer_status = NULL, answer = NULL WHERE key = :key"), {"key": key}
        )

    again = await world.send(family.asked, key)

    assert (again.status_code, again.headers["Idempotency-Replayed"]) == (first.status_code, "true"), again.text
    assert again.json()["id"] == first.json()["id"]
    assert await family.done(world) == family.expected


async def test_a_refusal_is_an_answer_and_stays_one(world: World) -> None:
    parcel, key = await world.stuck(), str(uuid4())
    wish = Request(f"/v1/admin/fulfillments/{parcel}/ship", LABEL)
    first = is_problem(await world.send(wish, key), 409, "capture_refused")
    answer = await world.desk.post(f"/orders/{world.order['id']}/resolve", {"decision": "cancel", "note": "no card"})
    assert answer.json()["status"] == "cancelled"

    again = await world.send(wish, key)

    assert is_problem(again, 409, "capture_refused") == first
    assert again.headers["Idempotency-Replayed"] == "true"


async def test_a_refusal_of_what_was_to_be_made_is_answered_again_although_nothing_was_made(world: World) -> None:
    await world.delivered()
    items = [{"order_item_id": world.line, "quantity": 9, "reason": "too many"}]
    refund = Request(f"/v1/admin/orders/{world.order['id']}/refunds", {"reason": "no", "amount": TOO_MUCH})
    announcement = Request(f"/v1/orders/{world.order['id']}/returns", {"items": items})

    for wish, code in ((refund, "refund_exceeds_captured"), (announcement, "units_not_returnable")):
        first, second = [await world.send(wish, f"refused-{code}") for _ in range(2)]
        assert is_problem(second, 409, code) == is_problem(first, 409, code)
        assert second.headers["Idempotency-Replayed"] == "true"
    assert (await world.now())["refunds"] == (await world.now())["returns"] == []


async def test_nobody_can_be_found_by_the_table_of_keys(world: World) -> None:
    shopper, key, mine = Shopper(world.http, email="somebody.real@example.com"), str(uuid4()), str(uuid4())
    cart = await shopper.a_cart((world.variant, 1))
    first = await shopper.check_out(cart, key=key)
    reason = {"reason": "Ada Testcase wept"}
    path = f"/v1/orders/{first.json()['id']}/cancel"
    cancelled = await shopper.send("POST", path, json=reason, params={"cart": cart}, headers={"Idempotency-Key": mine})
    assert (cancelled.status_code, cancelled.json()["cancel_reason"]) == (200, "Ada Testcase wept")

    async with world.resources.sessions() as session:
        rows = await session.execute(
            text("SELECT idempotency_keys::text FROM idempotency_keys WHERE key IN (:key, :mine)"),
            {"key": key, "mine": mine},
        )
        kept = [*rows.scalars()]
        answers = await session.execute(
            text("SELECT answer::text FROM checkouts WHERE order_id = :id"), {"id": first.json()["id"]}
        )
        kept += [*answers.scalars()]

    assert len(kept) == 3
    for told in ("somebody.real", ADDRESS["name"], ADDRESS["line1"], "wept", "127.0.0.1"):
        assert not [row for row in kept if told in row], told
    again = await shopper.send("POST", path, json=reason, params={"cart": cart}, headers={"Idempotency-Key": mine})
    assert (again.json(), again.headers["Idempotency-Replayed"]) == (cancelled.json(), "true")
    assert json.loads((await shopper.check_out(cart, key=key)).text) == first.json()
