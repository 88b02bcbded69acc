"""Wishes that have a name: repeated with the same body they are the same wish, however often and however late."""

import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Any
from uuid import UUID

from litestar import Request, Response
from litestar.params import Parameter
from pydantic import BaseModel, RootModel
from sqlalchemy.ext.asyncio import AsyncSession

from api.auth import Caller
from api.errors import PROBLEM_JSON, PROBLEMS, problem_body
from api.tracing import trace_id_of
from db import idempotency
from db.base import new_id
from db.checkouts import GUESTS
from db.idempotency import Known, Named
from domain.errors import Refusal
from runtime.resources import Resources

Key = Annotated[
    str | None,
    Parameter(
        header="Idempotency-Key",
        default=None,
        required=False,
        min_length=1,
        max_length=255,
        pattern=r"^[\x21-\x7e]+$",
        description="Names this wish: repeated with the same body it gets the first answer again",
    ),
]

REPLAYED = {"Idempotency-Replayed": "true"}

DECISIONS = (402, 409, 410, 422)
"""Refusals that are answers, and stay them. After all others the same wish may be tried again."""

SECRETS = frozenset({"gift_card_code"})
"""Members of answers that are shown once, and kept nowhere."""

OF_PEOPLE = SECRETS | {"email", "shipping_address", "reason", "cancel_reason", "reference", "provider_reference"}
"""Members of answers that are about people, or in their words. They are kept in their own tables only."""


class AsTold(RootModel[dict[str, Any]]):
    """An answer that is written out already."""


@dataclass(frozen=True)
class Asked:
    """What a request is about, beside its body: two requests that differ in this are not the same wish."""

    what: str
    about: UUID
    data: BaseModel | None = None
    cart: UUID | None = None
    """What proves that a guest may ask; with it, a wish can be repeated from any address."""

    @property
    def fingerprint(self) -> bytes:
        return fingerprint(self.data, self.what, self.about)


def fingerprint(data: BaseModel | None, *subject: object) -> bytes:
    """Tells one request from another. What is left at its default does not count, so new fields change no old wish."""
    body = data.model_dump_json(exclude_defaults=True) if data is not None else ""
    return hashlib.sha256("\n".join([body, *map(str, subject)]).encode()).digest()


def caller_key(caller: Caller, request: Request[Any, Any, Any]) -> str:
    """Whose keys these are: an account's own, or those of a guest's address.

    Of an address two bytes of its hash are kept: enough to tell two guests apart, too little to find one of them.
    """
    if caller.is_signed_in:
        return caller.name
    address = request.client.host if request.client else ""
    return f"{GUESTS}{hashlib.sha256(address.encode()).hexdigest()[:4]}"


class Once:
    """Carries out what a request asks for, once for every key. A request without a key is a wish of its own.

    The key is written down with the id of the wish before anything is done. A twin that comes while the first still
    runs, or after it died, asks for the same with the same id, which is why both hear of one result.
    """

    def __init__(self, request: Request[Any, Any, Any], caller: Caller, resources: Resources, key: str | None) -> None:
        self._request = request
        self._caller = caller
        self._sessions = resources.sessions
        self._key = key

    async def ask(
        self,
        asked: Asked,
        carry_out: Callable[[UUID], Awaitable[BaseModel]],
        *,
        status_code: int = 200,
        look: Callable[[UUID], Awaitable[BaseModel]] | None = None,
    ) -> Response[Any]:
        """For what a workflow does. ``carry_out`` takes the wish's id and is safe to repeat with the same one.

        ``look`` shows now what the first answer told of people.
        """
        wish_id = new_id()
        if (named := self._named(asked)) is None:
            return Response(await carry_out(wish_id), status_code=status_code)
        async with self._sessions.begin() as session:
            known = await idempotency.take_in(session, named, wish_id)
        if known is not None and known.answer_status is not None:
            return await _again(known, look)
        try:
            made = await carry_out(known.wish_id if known else wish_id)
            status, told = status_code, made.model_dump(mode="json")
        except Refusal as refusal:
            status, told = self._decision(refusal)
        async with self._sessions.begin() as session:
            first = await idempotency.remember(session, named, status, without_people(told))
        if known is not None:
            return await _again(first, look)
        return Response(told, status_code=status, media_type=media_type_of(status))

    async def write(
        self,
        asked: Asked,
        carry_out: Callable[[AsyncSession], Awaitable[BaseModel]],
        *,
        status_code: int,
        is_of_people: bool = True,
    ) -> Response[Any]:
        """For what one transaction does: the key, the deed and the answer are written together or not at all.

        What the shop says of its own goods is kept as a whole, whatever its members are called (``is_of_people``).
        """
        named = self._named(asked)
        async with self._sessions.begin() as session:
            if named is None:
                return Response(await carry_out(session), status_code=status_code)
            if known := await idempotency.take_in(session, named, new_id()):
                return await _again(known, None)
            try:
                async with session.begin_nested():
                    status, told = status_code, (await carry_out(session)).model_dump(mode="json")
            except Refusal as refusal:
                status, told = self._decision(refusal)
            await idempotency.remember(session, named, status, without_people(told) if is_of_people else told)
        return Response(told, status_code=status, media_type=media_type_of(status))

    def _named(self, asked: Asked) -> Named | None:
        if self._key is None:
            return None
        return Named(
            caller=caller_key(self._caller, self._request),
            key=self._key,
            request_hash=asked.fingerprint,
            cart_id=None if self._caller.is_signed_in else asked.cart,
        )

    def _decision(self, refusal: Refusal) -> tuple[int, dict[str, Any]]:
        problem = PROBLEMS.get(refusal.code)
        if problem is None or problem.status not in DECISIONS:
            raise refusal
        trace_id = trace_id_of(self._request.scope)
        path = self._request.url.path
        body = problem_body(refusal.code, refusal.detail, instance=path, trace_id=trace_id, **refusal.facts)
        return problem.status, body


async def provide_once(
    request: Request[Any, Any, Any], caller: Caller, resources: Resources, idempotency_key: Key
) -> Once:
    return Once(request, caller, resources, idempotency_key)


async def _again(first: Known, look: Callable[[UUID], Awaitable[BaseModel]] | None) -> Response[Any]:
    """Of a wish that was refused there is nothing to look at."""
    if first.answer_status is None:
        raise AssertionError("a wish is answered again once it was answered")
    now = await look(first.wish_id) if look is not None and first.answer_status < 400 else None
    told = with_people(first.answer, now.model_dump(mode="json") if now is not None else None)
    return Response(
        told, status_code=first.answer_status, media_type=media_type_of(first.answer_status), headers=REPLAYED
    )


def media_type_of(status: int) -> str:
    return "application/json" if status < 400 else PROBLEM_JSON


def without_people(told: Any) -> Any:
    """The answer as it may be kept for ever."""
    match told:
        case dict():
            return {name: _left_out(name, value) for name, value in told.items()}
        case list():
            return [without_people(item) for item in told]
    return told


def _left_out(name: str, value: Any) -> Any:
    return "" if name in OF_PEOPLE and value is not None else without_people(value)


def with_people(kept: Any, now: Any) -> Any:
    """The first answer, with what it left out as it is known now."""
    match kept, now:
        case dict(), dict():
            return {
                name: now.get(name) if name in OF_PEOPLE and value == "" else with_people(value, now.get(name))
                for name, value in kept.items()
            }
        case list(), list():
            known = {_name_of(item): item for item in now}
            return [with_people(item, known.get(_name_of(item))) for item in kept]
    return kept


def _name_of(item: Any) -> Any:
    return item.get("id") or item.get("order_item_id") if isinstance(item, dict) else item
