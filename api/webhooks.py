"""What payment providers and carriers tell us."""

from contextlib import suppress
from typing import Any

from litestar import Request, Response, post

from api.errors import refuses
from api.inbox import arrived, told
from api.stories import EngineAwayError, Stories
from db import disputes, payments, tracking
from domain.errors import Refusal
from domain.permissions import Permission
from providers.carriers import EasyPostMessages, MessageForged
from providers.payments import WebhookForged
from runtime.resources import Resources


@post(
    "/v1/webhooks/stripe",
    permission=Permission.NOTIFY,
    status_code=200,
    tags=["Machines"],
    summary="Hear from Stripe",
    responses=refuses("webhook_forged"),
)
async def stripe_webhook(request: Request[Any, Any, Any], resources: Resources, stories: Stories) -> Response[None]:
    """Stores the event before it is answered; the same event twice, or late, changes nothing.

    An event whose story cannot be told at the moment waits in the inbox.
    """
    try:
        event = resources.payments.read_webhook(await request.body(), request.headers)
    except WebhookForged as forged:
        raise Refusal("webhook_forged", "This webhook is not signed by Stripe, or is too old.") from forged
    provider = resources.payments.name
    if event.dispute is not None:
        async with resources.sessions.begin() as session:
            await payments.receive(session, provider, event)
            await disputes.note(session, event.dispute)
        return Response(None, status_code=200)
    async with resources.autocommit() as session:
        notice = await payments.receive(session, provider, event)
    if notice is not None:
        with suppress(EngineAwayError):
            await told(notice, resources, stories)
    return Response(None, status_code=200)


@post(
    "/v1/webhooks/easypost",
    permission=Permission.NOTIFY,
    status_code=200,
    tags=["Machines"],
    summary="Hear from EasyPost",
    responses=refuses("webhook_forged"),
)
async def easypost_webhook(request: Request[Any, Any, Any], resources: Resources, stories: Stories) -> Response[None]:
    """Stores what is told of a parcel before it is answered; the same again, or late, changes nothing.

    With the arrival of its last parcel an order is delivered. What is told of parcels that nobody knows is kept, and
    counts as soon as one is shipped under that number.
    """
    provider = EasyPostMessages.name
    if provider not in resources.carriers:
        raise Refusal("webhook_forged", "The shop listens to no EasyPost.")
    try:
        news = resources.carriers[provider].read_webhook(await request.body(), request.headers)
    except MessageForged as forged:
        raise Refusal("webhook_forged", "This message is not signed by EasyPost.") from forged
    if news is None:
        return Response(None, status_code=200)
    async with resources.sessions.begin() as session:
        await tracking.keep(session, provider, news)
    with suppress(EngineAwayError):
        await arrived(provider, news.message_id, resources, stories)
    return Response(None, status_code=200)
