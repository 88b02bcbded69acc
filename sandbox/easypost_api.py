"""EasyPost's REST API over ``Parcels``, as far as the shop asks it."""

from collections.abc import Callable
from dataclasses import dataclass
from hmac import compare_digest
from typing import Any

import msgspec
from msgspec import Struct

from sandbox import wire
from sandbox.faults import Faults, OperationName, lasted
from sandbox.parcels import Parcels
from sandbox.store import Store
from sandbox.wire import Answer, Call, ConnectionCut

CARRIERS = frozenset({"DHLExpress", "DPD", "FedEx", "GLS", "RoyalMail", "UPS", "USPS"})


class EasyPostError(Exception):
    """An answer that refuses; nothing has changed when it is raised."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.error = {"code": code, "message": message, "errors": []}


class NewTracker(Struct):
    tracking_code: str
    carrier: str


class WantedTracker(Struct):
    tracker: NewTracker


@dataclass(frozen=True, slots=True)
class Operation:
    name: OperationName
    wish: type[Any]
    run: Callable[[Any], object]


class EasyPostApi:
    def __init__(self, store: Store, parcels: Parcels, faults: Faults, key: str) -> None:
        self._store = store
        self._parcels = parcels
        self._faults = faults
        self._key = key.encode()
        self._operations = {"POST /v2/trackers": Operation("track", WantedTracker, self._track)}

    async def answer(self, call: Call) -> Answer:
        """The answer EasyPost would give, with the faults that were asked for."""
        try:
            return await self._answer(call)
        except EasyPostError as refusal:
            return wire.json({"error": refusal.error}, refusal.status)

    async def _answer(self, call: Call) -> Answer:
        if not self._key or not compare_digest(call.key.encode(), self._key):
            raise EasyPostError(401, "APIKEY.INACTIVE", "This api key is not active.")
        operation = self._operations.get(f"{call.method} {call.path}")
        if operation is None:
            raise EasyPostError(404, "NOT_FOUND", f"The sandbox does not know {call.method} {call.path}.")
        mishap = self._faults.for_payment(operation.name)
        await lasted(mishap, call)
        if mishap.refuses:
            raise broken()
        if mishap.says_no:
            raise EasyPostError(422, "REFUSED.ON.REQUEST", "This is refused, as the fault plan wants it.")
        try:
            wish = msgspec.json.decode(call.body, type=operation.wish)
        except msgspec.DecodeError as error:
            raise EasyPostError(422, "PARAMETER.INVALID", str(error)) from error
        with self._store.transaction():
            done = operation.run(wish)
        if mishap.breaks:
            raise broken()
        if mishap.drops_answer:
            raise ConnectionCut
        return wire.json(done, 201)

    def _track(self, wish: WantedTracker) -> object:
        wanted = wish.tracker
        if wanted.carrier not in CARRIERS:
            raise EasyPostError(422, "TRACKER.CREATE.ERROR", f"{wanted.carrier} is no carrier of the sandbox.")
        return self._parcels.follow(wanted.carrier, wanted.tracking_code)


def broken() -> EasyPostError:
    return EasyPostError(500, "INTERNAL_SERVER_ERROR", "Something broke.")
