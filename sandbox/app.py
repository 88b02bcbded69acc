"""The whole sandbox put together, from a call to its answer."""

from collections.abc import Container
from dataclasses import dataclass

import msgspec

from sandbox import pages, stolen_passwords, wire
from sandbox.easypost_api import EasyPostApi
from sandbox.errors import StripeError
from sandbox.faults import Faults
from sandbox.idempotency import Idempotency
from sandbox.ledger import Ledger
from sandbox.mail import Mailbox
from sandbox.objects import new_id
from sandbox.parcels import Move, Parcels
from sandbox.payments import Cause, Payments
from sandbox.shelves import Shelves
from sandbox.store import Store
from sandbox.stripe_api import StripeApi
from sandbox.webhooks import Outbox
from sandbox.wire import Answer, Call


@dataclass(frozen=True, slots=True)
class World:
    """All parts of the sandbox around one store."""

    store: Store
    shelves: Shelves
    ledger: Ledger
    faults: Faults
    outbox: Outbox
    mailbox: Mailbox
    payments: Payments
    stripe: StripeApi
    parcels: Parcels
    easypost: EasyPostApi


def make_world(
    store: Store, *, public_url: str, secret_key: str, carrier_key: str, listened_to: Container[str]
) -> World:
    shelves = Shelves(store)
    ledger = Ledger(store)
    faults = Faults(store)
    outbox = Outbox(store, shelves.events, faults, listened_to)
    payments = Payments(store, shelves, ledger, outbox, public_url)
    stripe = StripeApi(store, shelves, payments, Idempotency(store), faults, secret_key)
    parcels = Parcels(store, outbox)
    easypost = EasyPostApi(store, parcels, faults, carrier_key)
    return World(store, shelves, ledger, faults, outbox, Mailbox(store), payments, stripe, parcels, easypost)


class App:
    """Answers every call."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._routes = {
            "GET /": lambda _: pages.index(),
            "GET /health": lambda _: wire.json({"status": "ok"}),
            "GET /ledger": self._ledger,
            "GET /ledger/totals": lambda _: wire.json(world.ledger.totals()),
            "GET /mail": self._mail,
            "DELETE /mail": self._clear_mail,
            "GET /faults": lambda _: wire.json(world.faults.plan),
            "GET /faults/inflicted": lambda _: wire.json(dict(world.faults.inflicted)),
            "PUT /faults": self._merge_faults,
            "DELETE /faults": self._reset_faults,
            "DELETE /state": self._forget,
        }

    async def answer(self, call: Call) -> Answer:
        if call.path.startswith("/v1/"):
            return await self._world.stripe.answer(call)
        if call.path.startswith("/v2/"):
            return await self._world.easypost.answer(call)
        if call.path.startswith("/parcels/"):
            return self._parcel(call)
        if call.path.startswith("/3ds/"):
            return self._challenge(call)
        if call.method == "GET" and call.path.startswith("/range/"):
            return stolen_passwords.answer(call)
        route = self._routes.get(f"{call.method} {call.path}")
        if route:
            return route(call)
        is_known = any(known.split(" ")[1] == call.path for known in self._routes)
        return wire.problem(405 if is_known else 404, f"{call.method} {call.path} is not something the sandbox does")

    def _ledger(self, call: Call) -> Answer:
        query = dict(call.query)
        window = _window(query)
        if window is None:
            return wire.problem(422, "after and limit are whole numbers")
        return wire.json({"items": self._world.ledger.rows(query.get("payment_intent"), *window)})

    def _mail(self, call: Call) -> Answer:
        query = dict(call.query)
        window = _window(query)
        if window is None:
            return wire.problem(422, "after and limit are whole numbers")
        return wire.json({"items": self._world.mailbox.letters(query.get("to"), *window)})

    def _clear_mail(self, _: Call) -> Answer:
        self._world.mailbox.clear()
        return Answer(204)

    def _merge_faults(self, call: Call) -> Answer:
        try:
            self._world.faults.merge(msgspec.json.decode(call.body))
        except msgspec.DecodeError as error:  # a document of the wrong shape is one of these, too
            return wire.problem(422, str(error))
        return wire.json(self._world.faults.plan)

    def _reset_faults(self, _: Call) -> Answer:
        self._world.faults.reset()
        return wire.json(self._world.faults.plan)

    def _forget(self, _: Call) -> Answer:
        self._world.store.forget_everything()
        self._world.faults.recall()
        self._world.outbox.recall()
        return Answer(204)

    def _parcel(self, call: Call) -> Answer:
        """What is known of a number, and what happens to its parcel."""
        number = call.path.removeprefix("/parcels/")
        if call.method == "PUT":
            try:
                move = msgspec.json.decode(call.body, type=Move)
            except msgspec.DecodeError as error:
                return wire.problem(422, str(error))
            with self._world.store.transaction():
                self._world.parcels.move(number, move)
        elif call.method != "GET":
            return wire.problem(405, "look with GET, move with PUT")
        found = self._world.parcels.followed(number)
        return wire.json({"items": found}) if found else wire.problem(404, f"nobody follows {number}")

    def _challenge(self, call: Call) -> Answer:
        """The payer's bank: a page to look at, and where its two buttons lead."""
        _, _, intent_id, *decision = call.path.split("/")
        intent = self._world.shelves.intents.find(intent_id)
        if intent is None:
            return wire.problem(404, f"no payment {intent_id}")
        if call.method == "GET" and not decision:
            return pages.challenge(intent)
        if call.method != "POST" or decision not in (["complete"], ["fail"]):
            return wire.problem(405, "look with GET, decide with POST …/complete or …/fail")
        return_url = intent.next_action.redirect_to_url.return_url if intent.next_action else None
        try:
            with self._world.store.transaction():
                self._world.payments.authenticate(intent, Cause(new_id("req")), succeeds=decision == ["complete"])
        except StripeError as refusal:
            return wire.problem(409, str(refusal))
        return wire.see_other(return_url) if return_url else pages.challenge_over(intent)


def _window(query: dict[str, str]) -> tuple[int, int] | None:
    after, limit = query.get("after", "0"), query.get("limit", "-1")
    try:
        return int(after), int(limit)
    except ValueError:
        return None
