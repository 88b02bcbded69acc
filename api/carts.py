"""Carts: what a customer is about to order. A guest's cart is protected by its unguessable id alone."""

from typing import Annotated
from uuid import UUID

import structlog
from litestar import Controller, Response, delete, get, patch, post, put
from litestar.background_tasks import BackgroundTask
from litestar.params import Parameter

from api.auth import Caller
from api.cart_access import CHANGE, CHANGES, GROWS, TAG, cart_in, editable, shown, usable
from api.cart_schemas import (
    CartEmail,
    CartOut,
    EnteredCard,
    EnteredCode,
    ItemChange,
    NewCart,
    NewItem,
    PreviewOut,
    SavedAddress,
    ShippingAddress,
    ShippingChoice,
    ShippingOptions,
    StoreCreditChoice,
    option_out,
    preview_out,
)
from api.conditional import AcceptLanguage, IfMatch, tagged
from api.errors import refuses
from api.schemas import check_currency
from api.stories import EngineAwayError, Stories
from api.tax_questions import is_heard
from api.users import whoever
from db import addresses, baskets, carts, credit
from db.addresses import copy_of
from db.baskets import PricedCart
from domain.credit import Obstacle
from domain.errors import Refusal
from domain.permissions import Permission
from domain.promotions import LONGEST_CODE, Reason, normalised
from runtime.resources import Resources

log = structlog.get_logger()


class CartController(Controller):
    path = "/v1/carts"
    tags = ("Carts",)
    response_headers = (TAG,)

    @post(permission=Permission.SHOP, summary="Make a cart", responses=refuses("unauthenticated"))
    async def create(
        self, data: NewCart, caller: Caller, resources: Resources, accept_language: AcceptLanguage
    ) -> Response[CartOut]:
        """A cart of the caller, or of a guest who knows its id. It keeps its one currency, and its language.

        Its things, and then those of its order, are called as in the best language for `Accept-Language`.
        """
        check_currency(data.currency)
        spoken = resources.settings.shop.spoken
        async with resources.sessions.begin() as session:
            cart_id = await carts.create(
                session,
                user_id=caller.user_id,
                currency=data.currency,
                languages=spoken.chain(spoken.negotiated(accept_language)),
            )
            return await shown(session, cart_id, status_code=201)

    @get(
        "/{cart_id:uuid}",
        permission=Permission.SHOP,
        others=Permission.CARTS_ASSIST,
        summary="Look into a cart",
        responses=refuses("unauthenticated", "not_found", "cart_merged"),
    )
    async def show(self, cart_id: UUID, caller: Caller, resources: Resources) -> Response[CartOut]:
        """The cart with its totals, priced as of now."""
        async with resources.autocommit() as session:
            cart = await cart_in(session, usable(await baskets.priced(session, cart_id), caller))
        return tagged(cart)

    @post(
        "/{cart_id:uuid}/items",
        permission=Permission.SHOP,
        others=Permission.CARTS_ASSIST,
        summary="Put something into a cart",
        responses=GROWS,
    )
    async def add_item(
        self,
        cart_id: UUID,
        data: NewItem,
        caller: Caller,
        resources: Resources,
        stories: Stories,
        if_match: IfMatch,
    ) -> Response[CartOut]:
        """Units of a variant that is in the cart already add up, to 999 at most."""
        async with resources.sessions.begin() as session:
            cart = await editable(session, cart_id, caller, if_match)
            caps = resources.settings.carts.caps
            item_id = await carts.add_item(session, cart, data.variant_id, data.quantity, caps=caps)
            answered = await shown(session, cart_id, status_code=201, priced={item_id})
        if cart.reminder_consent_at is not None:
            answered.background = BackgroundTask(look_after, cart_id, stories)
        return answered

    @patch(
        "/{cart_id:uuid}/items/{item_id:uuid}",
        permission=Permission.SHOP,
        others=Permission.CARTS_ASSIST,
        summary="Change how many",
        responses=GROWS,
    )
    async def change_item(
        self, cart_id: UUID, item_id: UUID, data: ItemChange, caller: Caller, resources: Resources, if_match: IfMatch
    ) -> Response[CartOut]:
        """Sets the quantity of an item of the cart."""
        async with resources.sessions.begin() as session:
            cart = await editable(session, cart_id, caller, if_match)
            await carts.set_quantity(session, cart, item_id, data.quantity, caps=resources.settings.carts.caps)
            return await shown(session, cart_id, priced={item_id})

    @delete(
        "/{cart_id:uuid}/items/{item_id:uuid}",
        permission=Permission.SHOP,
        others=Permission.CARTS_ASSIST,
        status_code=200,
        summary="Take something out",
        responses=CHANGES,
    )
    async def remove_item(
        self, cart_id: UUID, item_id: UUID, caller: Caller, resources: Resources, if_match: IfMatch
    ) -> Response[CartOut]:
        """Removes an item from the cart."""
        async with resources.sessions.begin() as session:
            cart = await editable(session, cart_id, caller, if_match)
            await carts.remove_item(session, cart, item_id)
            return await shown(session, cart_id)

    @post(
        "/{cart_id:uuid}/acknowledge-prices",
        permission=Permission.SHOP,
        others=Permission.CARTS_ASSIST,
        status_code=200,
        summary="Say that the new prices were seen",
        responses=CHANGES,
    )
    async def acknowledge_prices(
        self, cart_id: UUID, caller: Caller, resources: Resources, if_match: IfMatch
    ) -> Response[CartOut]:
        """Ends the `price_changed` warnings of all items, as setting the quantity of an item does for that one."""
        async with resources.sessions.begin() as session:
            await editable(session, cart_id, caller, if_match)
            return await shown(session, cart_id, priced=None)

    @put(
        "/{cart_id:uuid}/email",
        permission=Permission.SHOP,
        others=Permission.CARTS_ASSIST,
        summary="Say who orders",
        responses=CHANGES,
    )
    async def set_email(
        self, cart_id: UUID, data: CartEmail, caller: Caller, resources: Resources, if_match: IfMatch
    ) -> Response[CartOut]:
        """Where the confirmation of the order is sent. Another address has not agreed to reminders yet."""
        async with resources.sessions.begin() as session:
            cart = await editable(session, cart_id, caller, if_match)
            carts.say_who(cart, data.email)
            return await shown(session, cart_id)

    @put(
        "/{cart_id:uuid}/shipping-address",
        permission=Permission.SHOP,
        others=Permission.CARTS_ASSIST,
        summary="Say where to",
        responses=CHANGES,
    )
    async def set_address(
        self, cart_id: UUID, data: ShippingAddress, caller: Caller, resources: Resources, if_match: IfMatch
    ) -> Response[CartOut]:
        """The order keeps its own copy of the address."""
        async with resources.sessions.begin() as session:
            cart = await editable(session, cart_id, caller, if_match)
            cart.shipping_address = data.model_dump()
            return await shown(session, cart_id)

    @put(
        "/{cart_id:uuid}/saved-shipping-address",
        permission=Permission.ACCOUNT,
        summary="Say where to, from my address book",
        responses=CHANGES,
    )
    async def take_address(
        self, cart_id: UUID, data: SavedAddress, caller: Caller, resources: Resources, if_match: IfMatch
    ) -> Response[CartOut]:
        """The cart, and its order, keep their own copies: what changes in the book later changes neither."""
        async with resources.sessions.begin() as session:
            cart = await editable(session, cart_id, caller, if_match)
            saved = await addresses.own(session, whoever(caller), data.address_id)
            cart.shipping_address = copy_of(saved)
            return await shown(session, cart_id)

    @get(
        "/{cart_id:uuid}/preview",
        permission=Permission.SHOP,
        others=Permission.CARTS_ASSIST,
        summary="See what a checkout would charge",
        responses=refuses("unauthenticated", "not_found", "cart_merged"),
    )
    async def preview(self, cart_id: UUID, caller: Caller, resources: Resources) -> PreviewOut:
        """Priced as a checkout at this moment would be; nothing is reserved or used.

        A shop with a tax provider asks it, so that `tax_is_final`; while it is silent, the taxes are an estimate.
        """
        is_whole = caller.may(Permission.PROMOTIONS_READ)

        async def look() -> tuple[CartOut, PricedCart]:
            async with resources.autocommit() as session:
                found = usable(await baskets.priced(session, cart_id, is_whole=is_whole), caller)
                return await cart_in(session, found), found

        cart, found = await look()
        if found.question is not None and await is_heard(found.question, resources):
            cart, found = await look()
        return preview_out(cart, found, is_whole=is_whole)

    @post(
        "/{cart_id:uuid}/promotion-codes",
        permission=Permission.SHOP,
        others=Permission.CARTS_ASSIST,
        status_code=200,
        summary="Enter a code",
        responses=refuses(*CHANGE, "promotion_not_applicable"),
    )
    async def enter_code(
        self, cart_id: UUID, data: EnteredCode, caller: Caller, resources: Resources, if_match: IfMatch
    ) -> Response[CartOut]:
        """Upper and lower case are the same. Entered twice, it is entered once.

        A code that takes nothing off is refused with its `reason` and not kept, unless there is only nothing to take
        it off yet.
        """
        code = normalised(data.code)
        async with resources.sessions.begin() as session:
            cart = await editable(session, cart_id, caller, if_match)
            carts.enter_code(cart, code)
            await session.flush()
            found = usable(await baskets.priced(session, cart_id), caller)
            for no in found.priced.not_applied:
                if no.code == code and no.reason is not Reason.NOTHING_TO_REDUCE:
                    raise Refusal("promotion_not_applicable", f"{code}: {no.detail}", reason=no.reason, entered=code)
            return tagged(await cart_in(session, found))

    @delete(
        "/{cart_id:uuid}/promotion-codes",
        permission=Permission.SHOP,
        others=Permission.CARTS_ASSIST,
        status_code=200,
        summary="Take a code out",
        responses=CHANGES,
    )
    async def remove_code(
        self, cart_id: UUID, data: EnteredCode, caller: Caller, resources: Resources, if_match: IfMatch
    ) -> Response[CartOut]:
        """Some proxies drop bodies of `DELETE`; the code may stand at the end of the address instead."""
        return await without_code(cart_id, data.code, caller, resources, if_match)

    @delete(
        "/{cart_id:uuid}/promotion-codes/{code:str}",
        permission=Permission.SHOP,
        others=Permission.CARTS_ASSIST,
        status_code=200,
        summary="Take a code out, named in the address",
        responses=CHANGES,
    )
    async def remove_named_code(
        self,
        cart_id: UUID,
        code: Annotated[str, Parameter(max_length=LONGEST_CODE)],
        caller: Caller,
        resources: Resources,
        if_match: IfMatch,
    ) -> Response[CartOut]:
        """Upper and lower case are the same."""
        return await without_code(cart_id, code, caller, resources, if_match)

    @post(
        "/{cart_id:uuid}/gift-cards",
        permission=Permission.SHOP,
        others=Permission.CARTS_ASSIST,
        status_code=200,
        summary="Pay with a gift card",
        responses=refuses(*CHANGE, "gift_card_not_usable"),
    )
    async def enter_gift_card(
        self, cart_id: UUID, data: EnteredCard, caller: Caller, resources: Resources, if_match: IfMatch
    ) -> Response[CartOut]:
        """Several may pay for one cart. Nothing is taken from them before the checkout, which takes it all at once.

        A card that cannot pay is refused with its `reason`; whatever is not the code of a card is `unknown`.
        """
        async with resources.sessions.begin() as session:
            cart = await editable(session, cart_id, caller, if_match)
            card = await credit.by_code(session, data.code)
            if card is None:
                raise carts.gift_card_not_usable(Obstacle.UNKNOWN)
            carts.enter_gift_card(cart, card.id)
            await session.flush()
            found = usable(await baskets.priced(session, cart_id), caller)
            [share] = [share for share in found.tender.cards if share.purse.account_id == card.id]
            if why := share.purse.obstacle or (Obstacle.EMPTY if share.purse.balance == 0 else None):
                raise carts.gift_card_not_usable(why, share.purse.last4)
            return tagged(await cart_in(session, found))

    @delete(
        "/{cart_id:uuid}/gift-cards/{card_id:uuid}",
        permission=Permission.SHOP,
        others=Permission.CARTS_ASSIST,
        status_code=200,
        summary="Do not pay with a gift card",
        responses=CHANGES,
    )
    async def remove_gift_card(
        self, cart_id: UUID, card_id: UUID, caller: Caller, resources: Resources, if_match: IfMatch
    ) -> Response[CartOut]:
        """By the id that the cart shows, so that its code stands in no address."""
        async with resources.sessions.begin() as session:
            cart = await editable(session, cart_id, caller, if_match)
            carts.remove_gift_card(cart, card_id)
            return await shown(session, cart_id)

    @put(
        "/{cart_id:uuid}/store-credit",
        permission=Permission.SHOP,
        others=Permission.CARTS_ASSIST,
        summary="Pay with store credit, or do not",
        responses=CHANGES,
    )
    async def use_store_credit(
        self, cart_id: UUID, data: StoreCreditChoice, caller: Caller, resources: Resources, if_match: IfMatch
    ) -> Response[CartOut]:
        """What the cart's customer has in its currency pays what gift cards leave."""
        async with resources.sessions.begin() as session:
            cart = await editable(session, cart_id, caller, if_match)
            carts.use_store_credit(cart, wanted=data.use)
            return await shown(session, cart_id)

    @get(
        "/{cart_id:uuid}/shipping-options",
        permission=Permission.SHOP,
        others=Permission.CARTS_ASSIST,
        summary="See how it can be shipped",
        responses=refuses("unauthenticated", "not_found", "cart_merged"),
    )
    async def shipping_options(self, cart_id: UUID, caller: Caller, resources: Resources) -> ShippingOptions:
        """What carries this cart to its address, with its price and the days it usually takes.

        Before there is an address, what goes to the shop's own country.
        """
        async with resources.autocommit() as session:
            found = usable(await baskets.priced(session, cart_id), caller)
            offered = await baskets.shipping_options(session, found)
        return ShippingOptions(items=[option_out(option, found.cart["currency"]) for option in offered])

    @put(
        "/{cart_id:uuid}/shipping-method",
        permission=Permission.SHOP,
        others=Permission.CARTS_ASSIST,
        summary="Choose how it is shipped",
        responses=CHANGES,
    )
    async def set_shipping(
        self, cart_id: UUID, data: ShippingChoice, caller: Caller, resources: Resources, if_match: IfMatch
    ) -> Response[CartOut]:
        """One of the cart's shipping options."""
        async with resources.sessions.begin() as session:
            cart = await editable(session, cart_id, caller, if_match)
            await carts.choose_shipping(session, cart, data.code)
            return await shown(session, cart_id)


async def look_after(cart_id: UUID, stories: Stories) -> None:
    """A cart that was empty for a while has nobody who would remind its customer of it."""
    try:
        await stories.begin_reminder(cart_id)
    except EngineAwayError:
        log.warning("reminder_not_begun", cart_id=str(cart_id))


async def without_code(
    cart_id: UUID, code: str, caller: Caller, resources: Resources, if_match: str | None
) -> Response[CartOut]:
    async with resources.sessions.begin() as session:
        cart = await editable(session, cart_id, caller, if_match)
        carts.remove_code(cart, normalised(code))
        return await shown(session, cart_id)
