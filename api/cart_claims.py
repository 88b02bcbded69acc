"""Whose a cart is: a guest who signs in takes their cart along."""

from uuid import UUID

from litestar import Response, get, post
from litestar.serialization import encode_json
from pydantic import Field

from api.auth import Caller
from api.cart_access import TAG, cart_in
from api.cart_schemas import CartOut
from api.conditional import KEEP_NOTHING, answer, tagged
from api.errors import refuses
from api.schemas import Input, Output
from api.users import whoever
from db import baskets, cart_merging
from domain.carts import MergeStrategy
from domain.errors import Refusal
from domain.permissions import Permission
from runtime.resources import Resources


class ClaimIn(Input):
    strategy: MergeStrategy | None = Field(
        default=None,
        description="What becomes of things that are in both carts: `sum` adds up, `guest` and `customer` keep what "
        "was chosen there. The shop's own choice when this is left out",
    )


class LeftOutOut(Output):
    variant_id: UUID
    sku: str
    quantity: int


class ClaimedCart(CartOut):
    left_out: list[LeftOutOut] = Field(description="What found no room: more than 999 of one, or a full cart")


@post(
    "/v1/carts/{cart_id:uuid}/claim",
    permission=Permission.ACCOUNT,
    tags=["Carts"],
    summary="Make a guest's cart mine",
    status_code=200,
    response_headers=[TAG],
    responses=refuses("unauthenticated", "not_found", "cart_completed", "cart_in_checkout", "cart_currencies_differ"),
)
async def claim_cart(cart_id: UUID, data: ClaimIn, caller: Caller, resources: Resources) -> Response[ClaimedCart]:
    """The caller has one cart afterwards, which is answered: the guest's, or their own with the guest's things in it.

    Asked again, it answers the same cart. Of what did not fit nothing is lost: `left_out` names it.
    """
    settings = resources.settings.carts
    async with resources.sessions.begin() as session:
        claimed = await cart_merging.claim(
            session,
            cart_id,
            whoever(caller),
            strategy=data.strategy or settings.merge_strategy,
            caps=settings.caps,
        )
        await session.flush()
        found = await baskets.priced(session, claimed.cart_id)
        if found is None:
            raise no_cart()
        cart = await cart_in(session, found)
    left_out = [LeftOutOut.model_validate(vars(left)) for left in claimed.left_out]
    body = ClaimedCart(**dict(cart), left_out=left_out).model_dump(mode="json")
    return answer(encode_json(body), version=cart.version, cache=KEEP_NOTHING)


@get(
    "/v1/carts/mine",
    permission=Permission.ACCOUNT,
    tags=["Carts"],
    summary="Look into my cart",
    response_headers=[TAG],
    responses=refuses("unauthenticated", "not_found"),
)
async def my_cart(caller: Caller, resources: Resources) -> Response[CartOut]:
    """The newest cart of the caller's that is open; 404 when there is none."""
    async with resources.autocommit() as session:
        cart_id = await cart_merging.newest(session, whoever(caller))
        found = await baskets.priced(session, cart_id) if cart_id else None
        if found is None:
            raise no_cart()
        cart = await cart_in(session, found)
    return tagged(cart)


def no_cart() -> Refusal:
    return Refusal("not_found", "You have no open cart.")
