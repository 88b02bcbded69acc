"""People and what is known of them: they have it told, and have it forgotten."""

import asyncio
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Self
from uuid import UUID

import structlog
from litestar import Controller, get, post
from pydantic import Field, SecretStr, model_validator
from temporalio.common import WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError

from api.auth import Caller
from api.errors import refuses
from api.schemas import Input, Output
from db import customers, erasures
from db.erasures import ErasureWish
from domain.erasures import ErasePerson
from domain.errors import Refusal
from domain.orders import number_of
from domain.permissions import Permission
from runtime.resources import Resources
from workflows.erasure import Erasure
from workflows.names import Queue, erasure_id

log = structlog.get_logger()

DENIED = ("unauthenticated", "forbidden")

ENGINE_ANSWERS_WITHIN = 5.0
"""Well below the time after which Postgres ends the transaction that waits for it: see ``db.erasures.ask``."""

FRESH_SECONDS = 300
"""Who gave the password so short a time ago need not give it again."""


class ErasureStatus(StrEnum):
    WAITING = "waiting"
    """Orders are on their way, and need to know where to."""
    RUNNING = "running"
    ERASED = "erased"


class Goodbye(Input):
    password: Annotated[SecretStr, Field(max_length=1000)]


class NewErasure(Input):
    """An account with all that its person ordered, or the orders of a guest, of which one is named."""

    user_id: UUID | None = None
    order_id: UUID | None = None

    @model_validator(mode="after")
    def is_about_one(self) -> Self:
        if (self.user_id is None) is (self.order_id is None):
            raise ValueError("give a user_id or an order_id")
        return self


class ErasureOut(Output):
    id: UUID
    status: ErasureStatus
    open_orders: list[str] = Field(description="What it waits for; looked at again each day")
    asked_at: datetime
    erased_at: datetime | None


class ExportOut(Output):
    """Rows as they are kept, table by table; amounts are in minor units."""

    tables: dict[str, list[dict[str, Any]]]


class ErasureController(Controller):
    path = "/v1/admin/erasures"
    tags = ("Operators",)

    @post(
        status_code=202,
        permission=Permission.PEOPLE_ERASE,
        summary="Forget a person",
        responses=refuses(*DENIED, "not_found"),
    )
    async def create(self, data: NewErasure, caller: Caller, resources: Resources) -> ErasureOut:
        """As the person could do it. Asking twice is asking once."""
        return await forgotten(resources, user_id=data.user_id, order_id=data.order_id, asked_by=caller.name)

    @get(
        "/{erasure_id:uuid}",
        permission=Permission.PEOPLE_ERASE,
        summary="See how far an erasure is",
        responses=refuses(*DENIED, "not_found"),
    )
    async def see(self, erasure_id: UUID, resources: Resources) -> ErasureOut:
        """What it still waits for."""
        return await seen(resources, erasure_id)


async def check_is_them(
    resources: Resources, user_id: UUID, session_id: UUID | None, password: SecretStr | None
) -> None:
    """Refuses ``invalid_credentials``, and ``password_required`` when there is none and the sign-in is not fresh."""
    async with resources.sessions() as session:
        if password is None:
            if session_id and await erasures.signed_in_lately(session, session_id, within_seconds=FRESH_SECONDS):
                return
            raise Refusal("password_required", "Send your password along, or sign in again first.")
        user = await customers.by_id_with_hash(session, user_id)
    check = await resources.passwords.check(password.get_secret_value(), user.password_hash if user else None)
    if not check.is_right:
        raise Refusal("invalid_credentials", "The password is wrong.")


async def told_everything(resources: Resources, user_id: UUID) -> ExportOut:
    async with resources.sessions() as session:
        person = await erasures.everything_of_user(session, user_id)
        return ExportOut(tables=await erasures.exported(session, person))


async def forgotten(resources: Resources, *, user_id: UUID | None, order_id: UUID | None, asked_by: str) -> ErasureOut:
    async with resources.sessions.begin() as session:
        wish, ended = await erasures.ask(session, user_id=user_id, order_id=order_id, asked_by=asked_by)
        # Started before the commit: a wish never exists without somebody to see to it. A workflow whose wish was not
        # committed after all notices, and ends.
        await start_erasure(resources, wish)
    await resources.deny_list.add(*ended)
    return await seen(resources, wish.id)


async def start_erasure(resources: Resources, wish: ErasureWish) -> None:
    """Content when it runs or is over; begun again when it was ended. Refuses ``unavailable`` without the engine."""
    try:
        async with asyncio.timeout(ENGINE_ANSWERS_WITHIN):
            await resources.temporal.start_workflow(
                Erasure.run,
                ErasePerson(erasure_id=wish.id),
                id=erasure_id(wish.id),
                task_queue=Queue.REGISTRATION,
                id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE_FAILED_ONLY,
                static_summary="Somebody wants to be forgotten",
            )
    except WorkflowAlreadyStartedError:
        return
    except (RPCError, RuntimeError, TimeoutError) as error:  # a first connection fails with a RuntimeError
        log.warning("erasure_not_started", error=type(error).__name__)
        raise Refusal("unavailable", "Nobody can be forgotten at this moment; nothing was done, try again.") from None


async def seen(resources: Resources, wish_id: UUID) -> ErasureOut:
    async with resources.sessions() as session:
        found = await erasures.shown(session, wish_id)
    if found is None:
        raise Refusal("not_found", "There is no such erasure.")
    wish, open_orders = found
    status = ErasureStatus.WAITING if open_orders else ErasureStatus.RUNNING
    return ErasureOut(
        id=wish.id,
        status=ErasureStatus.ERASED if wish.erased_at is not None else status,
        open_orders=[number_of(number) for number in open_orders],
        asked_at=wish.asked_at,
        erased_at=wish.erased_at,
    )
