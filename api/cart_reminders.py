"""Reminders of a cart that was left: asked for with the customer's consent, and refused by a link in each mail."""

from typing import Annotated, Literal
from uuid import UUID

from litestar import Response, post, put
from litestar.params import Parameter
from pydantic import Field

from api.auth import Caller
from api.cart_access import CHANGES, TAG, editable, shown
from api.cart_schemas import CartOut
from api.conditional import IfMatch
from api.credentials import MailedToken
from api.errors import refuses
from api.schemas import Input, Output
from api.stories import Stories
from db import cart_reminders
from domain.errors import unacceptable
from domain.permissions import Permission
from runtime.resources import Resources
from runtime.tokens import ForgedTokenError


class ConsentIn(Input):
    consent: bool = Field(strict=True)


UnsubscribeToken = Annotated[str, Parameter(query="token", min_length=1, max_length=4096, description="Of the link")]


class UnsubscribedOut(Output):
    status: Literal["unsubscribed"] = "unsubscribed"


@put(
    "/v1/carts/{cart_id:uuid}/reminders",
    permission=Permission.SHOP,
    others=Permission.CARTS_ASSIST,
    tags=["Carts"],
    summary="Agree to be reminded of a cart",
    response_headers=[TAG],
    responses=CHANGES,
)
async def set_reminders(
    cart_id: UUID, data: ConsentIn, caller: Caller, resources: Resources, stories: Stories, if_match: IfMatch
) -> Response[CartOut]:
    """Off unless somebody agrees. A cart that is left then brings a mail to its address after a day, and two at most.

    Another address needs another consent, and one that has unsubscribed stays unsubscribed.
    """
    async with resources.sessions.begin() as session:
        cart = await editable(session, cart_id, caller, if_match)
        cart_reminders.consent(cart, is_given=data.consent)
        if data.consent:
            await stories.begin_reminder(cart_id)
        return await shown(session, cart_id)


@post(
    "/v1/unsubscribe",
    permission=Permission.SHOP,
    tags=["Carts"],
    status_code=200,
    summary="Be reminded of no cart any more",
    responses=refuses(),
)
async def unsubscribe(data: MailedToken, resources: Resources) -> UnsubscribedOut:
    """Takes the consent of the address back for good; the token of any reminder that was mailed to it will do."""
    return await unsubscribed(data.token, resources)


@post(
    "/unsubscribe",
    permission=Permission.SHOP,
    tags=["Carts"],
    status_code=200,
    summary="Be reminded of no cart any more, as mail programs ask for it",
    responses=refuses(),
)
async def unsubscribe_by_one_click(token: UnsubscribeToken, resources: Resources) -> UnsubscribedOut:
    """What `List-Unsubscribe-Post` of a mail promises (RFC 8058): its body does not matter, nobody is asked."""
    return await unsubscribed(token, resources)


async def unsubscribed(token: str, resources: Resources) -> UnsubscribedOut:
    try:
        address = resources.tokens.read_unsubscribe(token)
    except ForgedTokenError:
        raise unacceptable("/token", "This is not a token that we have mailed.") from None
    async with resources.sessions.begin() as session:
        await cart_reminders.unsubscribe(session, address)
    return UnsubscribedOut()
