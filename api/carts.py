"""Carts: what a customer is about to order. A guest's cart is protected by its unguessable id alone."""

from collections.abc import Collection, Mapping
from dataclasses import asdict, replace
from decimal import Decimal
from typing import Annotated, Any, TypeVar
from uuid import UUID

import structlog
from litestar import Controller, Response, delete, get, patch, post, put
from litestar.background_tasks import BackgroundTask
from litestar.datastructures import ResponseHeader
from litestar.params import Parameter
from pydantic import Field
from sqlalchemy.ext.asyncio import AsyncSession

from api.auth import Caller
from api.cart_warnings import CartWarning, warnings_about
from api.conditional import AcceptLanguage, IfMatch, expected_versions, tagged
from api.errors import refuses
from api.schemas import Amount, CardCode, CurrencyCode, Email, Input, Output, VersionedOutput, amount, money
from api.stories import EngineAwayError, Stories
from api.tax_questions import is_heard
from api.users import whoever
from db import addresses, baskets, cart_views, cart_warnings, carts, credit
from db.addresses import copy_of
from db.baskets import PricedCart, WantedCart
from db.carts import Cart
from domain.carts import LARGEST_QUANTITY
from domain.credit import Obstacle, Share, Tender
from domain.errors import Refusal, unacceptable
from domain.money import minor_digits
from domain.permissions import Permission
from domain.pricing import PricedLine
from domain.promotions import LONGEST_CODE, Applied, NotApplied, Reason, normalised
from domain.shipping_rates import Option
from runtime.resources import Resources

log = structlog.get_logger()

Quantity = Annotated[int, Field(ge=1, le=LARGEST_QUANTITY, strict=True)]


class NewCart(Input):
    currency: CurrencyCode


class NewItem(Input):
    variant_id: UUID
    quantity: Quantity


class ItemChange(Input):
    quantity: Quantity


class CartEmail(Input):
    email: Email


class ShippingAddress(Input):
    name: Annotated[str, Field(min_length=1, max_length=200)]
    line1: Annotated[str, Field(min_length=1, max_length=200)]
    line2: Annotated[str | None, Field(max_length=200)] = None
    city: Annotated[str, Field(min_length=1, max_length=100)]
    region: Annotated[str | None, Field(max_length=100)] = None
    postal_code: Annotated[str, Field(min_length=1, max_length=20)]
    country: Annotated[str, Field(pattern=r"^[A-Z]{2}$", description="ISO 3166-1 alpha-2", examples=["US"])]
    phone: Annotated[str | None, Field(max_length=40)] = None


class SavedAddress(Input):
    address_id: UUID = Field(description="From the caller's address book")


class ShippingChoice(Input):
    code: Annotated[str, Field(min_length=1, max_length=50)]


class EnteredCode(Input):
    code: Annotated[str, Field(min_length=1, max_length=LONGEST_CODE, examples=["SPRING10"])]


class EnteredCard(Input):
    code: CardCode = Field(description="Upper and lower case, blanks and dashes do not matter")


class StoreCreditChoice(Input):
    use: Annotated[bool, Field(strict=True)]


class GiftCardShareOut(Output):
    id: UUID
    last4: str = Field(description="How its code ends")
    amount: Amount = Field(description="What it pays")
    obstacle: Obstacle | None = Field(description="Why it cannot pay for this cart; a checkout would be refused")


class CartItemOut(Output):
    id: UUID
    variant_id: UUID
    sku: str
    name: str
    quantity: int
    unit_price: Amount
    base_price: Amount | None = Field(description="What a unit costs without the price list that applies")
    price_list: str | None = Field(description="The price list that made the unit price")
    line_total: Amount = Field(description="Before its discount and its tax")
    discount: Amount = Field(description="Also its share of what is taken off the whole")
    tax: Amount = Field(description="What is added to its price; nothing, where prices contain their tax")


class TotalsOut(Output):
    subtotal: Amount
    discount: Amount
    shipping: Amount
    tax: Amount
    included_tax: Amount = Field(description="What of the total is tax, where prices contain their tax")
    total: Amount


class TaxOut(Output):
    name: str = Field(examples=["California"])
    percent: str = Field(examples=["7.25"])
    base: Amount = Field(description="What it is due on, without any tax")
    amount: Amount
    is_included: bool = Field(description="It is part of the prices, and not added to them")


class ReducedItemOut(Output):
    item_id: UUID
    amount: Amount


class AppliedPromotionOut(Output):
    code: str | None = Field(description="`null`: it needs none")
    name: str
    amount: Amount
    lines: list[ReducedItemOut]
    shipping: Amount = Field(description="What of it lowers the costs of shipping")


class NotAppliedPromotionOut(Output):
    code: str | None
    name: str | None = Field(description="`null`: no promotion stands behind the code")
    reason: Reason
    detail: str


class CartOut(VersionedOutput):
    id: UUID
    currency: str
    email: str | None
    items: list[CartItemOut]
    shipping_address: ShippingAddress | None
    shipping_method: str | None
    shipping_method_available: bool | None = Field(
        description="`false`: the chosen method does not carry these goods to this address, so another one has to be "
        "chosen; `null`: none is chosen"
    )
    promotion_codes: list[str] = Field(description="What was entered")
    promotions: list[AppliedPromotionOut] = Field(description="What is taken off, in that order")
    not_applied: list[NotAppliedPromotionOut] = Field(description="Codes that take nothing off, and why")
    totals: TotalsOut
    gift_cards: list[GiftCardShareOut] = Field(description="They pay in this order")
    uses_store_credit: bool
    store_credit: Amount = Field(description="What store credit pays, after the gift cards")
    amount_due: Amount = Field(description="What is left of the total for the payment provider")
    taxes: list[TaxOut]
    tax_is_final: bool = Field(
        description="`false`: an estimate for the shop's home, or nothing yet, since it is not known what is due where "
        "the cart goes"
    )
    status: Annotated[str, Field(pattern="^(open|completed)$")]
    reminder_consent: bool = Field(description="Whether its customer agrees to be reminded of it by mail")
    warnings: list[CartWarning] = Field(
        description="What changed since things were put in; nothing of it hinders a change of the cart"
    )
    version: int = Field(description="One more with each change; the `ETag` carries it for `If-Match`")


class PricedShippingOut(Output):
    price: Amount
    discount: Amount
    tax: Amount
    included_tax: Amount
    total: Amount


class ObstacleOut(Output):
    code: str = Field(description="What a checkout would be refused with", examples=["cart_incomplete"])
    detail: str


class PreviewOut(CartOut):
    """What a checkout would charge now, with every rule that had a say in it."""

    not_applied: list[NotAppliedPromotionOut] = Field(
        description="Promotions that take nothing off, and why: of codes, and for staff also of those that need none"
    )
    shipping: PricedShippingOut
    obstacle: ObstacleOut | None = Field(description="`null`: nothing of the cart itself stands in its way")


class ShippingOption(Output):
    code: str
    name: str
    price: Amount
    estimated_days: int = Field(description="At most")
    estimated_days_min: int


class ShippingOptions(Output):
    items: list[ShippingOption]


CHANGE = ("unauthenticated", "not_found", "cart_merged", "cart_completed", "cart_in_checkout", "precondition_failed")
CHANGES = refuses(*CHANGE)
GROWS = refuses(*CHANGE, "cart_full")
TAG = ResponseHeader(
    name="ETag", description="The cart's version, for `If-Match`", documentation_only=True, required=False
)


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
        return ShippingOptions(items=[_option_out(option, found.cart["currency"]) for option in offered])

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


def check_currency(currency: str, *, pointer: str = "/currency") -> None:
    try:
        minor_digits(currency)
    except ValueError:
        raise unacceptable(pointer, "is not a currency of ISO 4217") from None


def may_use(caller: Caller, owner: UUID | None) -> bool:
    """A guest's cart is open to whoever knows its id; a customer's cart to that customer and to who assists."""
    return owner is None or owner == caller.user_id or caller.may(Permission.CARTS_ASSIST)


FoundCart = TypeVar("FoundCart", PricedCart, WantedCart)


def usable(found: FoundCart | None, caller: Caller) -> FoundCart:
    """The cart as the caller may see it; refuses ``not_found`` and ``cart_merged``."""
    if found is None or not may_use(caller, found.cart["user_id"]):
        raise Refusal("not_found", "There is no such cart.")
    if found.cart["merged_into"] is not None:
        raise carts.merged(found.cart["merged_into"])
    return found


async def editable(session: AsyncSession, cart_id: UUID, caller: Caller, if_match: str | None) -> Cart:
    """Clients that send no ``If-Match`` overwrite; those that do are told when somebody else was faster."""
    exists, owner = await cart_views.owner(session, cart_id)
    if not exists or not may_use(caller, owner):
        raise Refusal("not_found", "There is no such cart.")
    return await carts.editable(session, cart_id, expected=expected_versions(if_match))


async def shown(
    session: AsyncSession, cart_id: UUID, *, status_code: int = 200, priced: Collection[UUID] | None = ()
) -> Response[CartOut]:
    """The cart after a change; of the items ``priced``, or of all, the customer sees what they cost now."""
    await session.flush()
    found = await baskets.priced(session, cart_id)
    if found is None:
        raise Refusal("not_found", "There is no such cart.")
    return tagged(await cart_in(session, found, priced=priced), status_code=status_code)


async def cart_in(session: AsyncSession, found: PricedCart, *, priced: Collection[UUID] | None = ()) -> CartOut:
    """The cart with its warnings; those about prices go when the customer is shown the new ones."""
    cart = cart_out(found)
    items = await cart_warnings.items_now(session, found)
    prices = {item.id: item.unit_price for item in cart.items}
    if seen := [item for item in items if item.is_sold and (priced is None or item.id in priced)]:
        noted = {item.id: prices[item.id].as_money().minor for item in seen}
        await cart_warnings.note_prices(session, cart.id, noted)
        items = [replace(item, noted_price=noted.get(item.id, item.noted_price)) for item in items]
    return cart.model_copy(update={"warnings": warnings_about(items, prices)})


async def without_code(
    cart_id: UUID, code: str, caller: Caller, resources: Resources, if_match: str | None
) -> Response[CartOut]:
    async with resources.sessions.begin() as session:
        cart = await editable(session, cart_id, caller, if_match)
        carts.remove_code(cart, normalised(code))
        return await shown(session, cart_id)


def cart_out(found: PricedCart) -> CartOut:
    cart, priced = found.cart, found.priced
    totals = priced.totals
    return CartOut.model_validate(
        {
            **cart,
            "items": [_item_out(line) for line in priced.lines],
            "shipping_method_available": found.is_shipping_offered if cart["shipping_method"] else None,
            "warnings": [],
            "taxes": [taxes_out(tax, cart["currency"]) for tax in map(asdict, priced.taxes.taxes)],
            "tax_is_final": priced.taxes.is_final,
            "promotions": [_applied_out(each) for each in priced.applied],
            "not_applied": [not_applied_out(each) for each in priced.not_applied if each.code is not None],
            "status": "completed" if cart["completed_at"] else "open",
            "totals": {
                "subtotal": money(totals.subtotal),
                "discount": money(totals.discount),
                "shipping": money(totals.shipping),
                "tax": money(totals.tax),
                "included_tax": money(priced.included_tax),
                "total": money(totals.total),
            },
            "gift_cards": [_card_out(share, found.tender) for share in found.tender.cards],
            "store_credit": amount(found.tender.store_credit, cart["currency"]),
            "amount_due": money(found.tender.due),
        }
    )


def _card_out(share: Share, paid: Tender) -> dict[str, Any]:
    return {
        "id": share.purse.account_id,
        "last4": share.purse.last4,
        "amount": amount(share.amount, paid.total.currency),
        "obstacle": paid.obstacle_of(share),
    }


def _option_out(option: Option, currency: str) -> ShippingOption:
    return ShippingOption(
        code=option.tariff.code,
        name=option.tariff.name,
        price=Amount(**amount(option.price, currency)),
        estimated_days=option.tariff.estimated_days,
        estimated_days_min=option.tariff.estimated_days_min,
    )


def taxes_out(tax: Mapping[str, Any], currency: str) -> dict[str, Any]:
    """One tax, as it is due now or as an order keeps it."""
    return {
        **tax,
        "percent": f"{Decimal(tax['percent']).normalize():f}",
        **{name: amount(tax[name], currency) for name in ("base", "amount")},
    }


def preview_out(cart: CartOut, found: PricedCart, *, is_whole: bool) -> PreviewOut:
    priced = found.priced
    shipping = {name: money(getattr(priced.shipping, name)) for name in PricedShippingOut.model_fields}
    return PreviewOut.model_validate(
        {
            **cart.model_dump(),
            "not_applied": [not_applied_out(no) for no in priced.not_applied if is_whole or no.code is not None],
            "shipping": shipping,
            "obstacle": obstacle_of(found),
        }
    )


def obstacle_of(found: PricedCart) -> dict[str, str] | None:
    try:
        found.check_can_be_ordered()
        carts.check_can_pay(found.tender)
    except Refusal as refusal:
        return {"code": refusal.code, "detail": refusal.detail}
    return None


def _item_out(priced: PricedLine) -> dict[str, Any]:
    line = priced.line
    return {
        "id": line.id,
        "variant_id": line.variant_id,
        "sku": line.sku,
        "name": line.name,
        "quantity": line.quantity,
        "unit_price": money(line.unit_price),
        "base_price": money(line.base_price) if line.base_price else None,
        "price_list": line.price_list,
        "line_total": money(line.total),
        "discount": money(priced.discount),
        "tax": money(priced.tax),
    }


def _applied_out(applied: Applied) -> dict[str, Any]:
    return {
        "code": applied.code,
        "name": applied.promotion.name,
        "amount": money(applied.amount),
        "lines": [{"item_id": line, "amount": money(amount)} for line, amount in applied.lines.items()],
        "shipping": money(applied.shipping),
    }


def not_applied_out(no: NotApplied) -> dict[str, Any]:
    name = no.promotion.name if no.promotion else None
    return {"code": no.code, "name": name, "reason": no.reason, "detail": no.detail}
