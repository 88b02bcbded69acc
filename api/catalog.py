"""Products, the tree of categories and the stock: public to read, staff writes."""

from collections.abc import Sequence
from typing import Annotated, Any
from uuid import UUID

from litestar import Controller, Request, Response, delete, get, patch, post
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import Parameter
from litestar.serialization import encode_json
from sqlalchemy.ext.asyncio import AsyncSession

from api.auth import Caller
from api.catalog_cache import CatalogCache, Kept
from api.catalog_changes import change_product, create_product, currency_of
from api.catalog_queries import (
    Currency,
    Facets,
    InStock,
    PriceBound,
    SortOrder,
    Tags,
    Word,
    attributes_asked,
    checked_currency,
    product_query,
)
from api.catalog_schemas import (
    CategoryChange,
    CategoryOut,
    CategoryTree,
    NewCategory,
    NewProduct,
    ProductChange,
    ProductOut,
    ProductPageOut,
    StockAdjustment,
    StockOut,
    SuggestionList,
    category_json,
    product_json,
)
from api.conditional import KEEP_NOTHING, AcceptLanguage, IfMatch, IfNoneMatch, answer, expected_versions
from api.errors import refuses
from api.hot_answers import make_ready
from api.idempotency import Asked, AsTold, Once
from api.paging import Cursor, Limit
from db import catalog_changes, catalog_views, inventory
from db.base import new_id
from db.catalog_news import EVERYTHING, News
from domain.catalog import search_words
from domain.errors import Refusal
from domain.permissions import Permission
from runtime.resources import Resources

READS = {304: ResponseSpec(data_container=None, description="Not Modified: what you have is still right")} | refuses()
READS_ONE = READS | refuses("unauthenticated", "not_found")
CREATES = ("unauthenticated", "forbidden")
CHANGES = ("unauthenticated", "forbidden", "not_found", "precondition_failed")

Typed = Annotated[str, Parameter(query="q", max_length=200, description="What was typed so far")]
MostSuggestions = Annotated[int, Parameter(query="limit", ge=4, le=20, default=10)]


class ProductController(Controller):
    path = "/v1/products"
    tags = ("Catalogue",)

    @get(permission=Permission.SHOP, summary="Look through the products", responses=READS)
    async def list_products(
        self,
        request: Request[Any, Any, Any],
        catalog: CatalogCache,
        resources: Resources,
        limit: Limit,
        cursor: Cursor,
        q: Word,
        category: Word,
        brand: Word,
        min_price: PriceBound,
        max_price: PriceBound,
        in_stock: InStock,
        sort: SortOrder,
        facets: Facets,
        tag: Tags,
        currency: Currency,
        if_none_match: IfNoneMatch,
        accept_language: AcceptLanguage,
    ) -> Response[ProductPageOut]:
        """Active products, a page at a time.

        `q` finds products with all of its words, or words that begin so, in name, brand, SKU, options, description or
        category; accents do not matter. Names and brands with the words themselves come first, then those with words
        that begin so, then the others; short names before long ones, new products before old ones. A word that the
        shop does not have is read as the most similar ones, which `corrected` tells. `category` is an id or slug and
        includes the categories below. A price range matches a product when one of its variants is in it. `sort=price`
        goes by the cheapest variant, with a range by the cheapest within it, and leaves out what is not sold in the
        currency. `facets=category,brand,price` adds how many products there would be with each value chosen.

        `tag=sale` finds products with the tag, several times with all of them; `attribute.colour=red` those of which
        the attribute says so, several times any of them. `facets=tag,attribute.colour` counts them.
        """
        known = await catalog.attributes()
        query = product_query(
            currency=checked_currency(currency, resources),
            limit=limit,
            cursor=cursor,
            q=q,
            category=category,
            brand=brand,
            min_price=min_price,
            max_price=max_price,
            in_stock=in_stock,
            sort=sort,
            facets=facets,
            tags=tag or (),
            attributes=attributes_asked(request.query_params),
            known=known.known,
            languages=catalog.languages.chain(language := catalog.language(accept_language)),
        )
        body, parts = await catalog.page(query)
        said = said_in(catalog, language)
        return kept_answer(request, body, parts, if_none_match=if_none_match, language=said)

    @get("/{product:str}", permission=Permission.SHOP, summary="Look at a product", responses=READS_ONE)
    async def show(
        self,
        product: Annotated[str, Parameter(description="Its id or slug", max_length=255)],
        request: Request[Any, Any, Any],
        caller: Caller,
        catalog: CatalogCache,
        resources: Resources,
        currency: Currency,
        if_none_match: IfNoneMatch,
        accept_language: AcceptLanguage,
    ) -> Response[ProductOut]:
        """The product by its id or slug. Staff also sees what is not, or no longer, in the shop."""
        wanted = checked_currency(currency, resources)
        if caller.may(Permission.CATALOG_READ):
            async with resources.sessions() as session:
                return await shown(
                    session, product, currency=wanted, in_all_currencies=True, if_none_match=if_none_match
                )
        known = await catalog.product(product, wanted, catalog.language(accept_language))
        if known is None:
            raise no_such_product()
        return kept_answer(
            request,
            known.body,
            [known],
            if_none_match=if_none_match,
            version=known.version,
            language=said_in(catalog, known.language),
        )

    @post(
        summary="Add a product",
        permission=Permission.CATALOG_WRITE,
        responses=refuses(*CREATES, "sku_taken", "idempotency_key_reused"),
    )
    async def create(self, data: NewProduct, caller: Caller, catalog: CatalogCache, once: Once) -> Response[ProductOut]:
        """A product with one variant or several. Its slug is made from its name; its first stock goes on the ledger."""
        product_id, made = new_id(), list[Response[Any]]()

        async def carry_out(session: AsyncSession) -> AsTold:
            await create_product(session, product_id, data, actor=caller.name)
            made.append(await shown(session, product_id, currency=currency_of(data), status_code=201))
            return AsTold.model_validate_json(made[0].content)

        asked = Asked("create_product", caller.id or product_id, data)
        told = await once.write(asked, carry_out, status_code=201, is_of_people=False)
        if not made:
            return told  # it was answered before, or refused
        catalog.forget(changed(product_id))
        return made[0]

    @patch(
        "/{product_id:uuid}",
        permission=Permission.CATALOG_WRITE,
        summary="Change a product",
        responses=refuses(*CHANGES, "sku_taken"),
    )
    async def change(
        self,
        product_id: UUID,
        data: ProductChange,
        caller: Caller,
        catalog: CatalogCache,
        resources: Resources,
        if_match: IfMatch,
    ) -> Response[ProductOut]:
        """Changes what is given. With `If-Match` only while nobody else has changed the product: stale → 412."""
        async with resources.sessions.begin() as session:
            await change_product(session, product_id, data, expected=expected_versions(if_match), actor=caller.name)
            now = await shown(session, product_id, currency=resources.settings.shop.currency)
        catalog.forget(changed(product_id))
        return now

    @delete(
        "/{product_id:uuid}",
        permission=Permission.CATALOG_WRITE,
        summary="Archive a product",
        responses=refuses(*CHANGES),
    )
    async def archive(self, product_id: UUID, catalog: CatalogCache, resources: Resources, if_match: IfMatch) -> None:
        """Takes the product out of the shop. Orders keep what they know of it; its SKUs stay taken."""
        async with resources.sessions.begin() as session:
            await catalog_changes.archive_product(session, product_id, expected=expected_versions(if_match))
        catalog.forget(changed(product_id))


async def shown(
    session: AsyncSession,
    product: str | UUID,
    *,
    currency: str,
    in_all_currencies: bool = False,
    if_none_match: str | None = None,
    status_code: int = 200,
) -> Response[ProductOut]:
    view = await catalog_views.product(
        session, product, currency=currency, is_public=False, in_all_currencies=in_all_currencies
    )
    if view is None:
        raise no_such_product()
    return answer(
        encode_json(product_json(view, currency)),
        if_none_match=if_none_match,
        version=view.product["version"],
        status_code=status_code,
        cache=KEEP_NOTHING,
    )


def kept_answer(
    request: Request[Any, Any, Any],
    body: bytes,
    parts: Sequence[Kept],
    *,
    if_none_match: str | None,
    version: int | None = None,
    language: str | None = None,
) -> Response[Any]:
    """The answer for everybody, ready for whoever asks the same again; unless it is no more than the last known one."""
    if any(part.expires_at == 0.0 for part in parts):
        return Response(body, media_type="application/json", headers={"Cache-Control": "no-store", "Warning": STALE})
    cache = request.app.state.catalogue_cache_control
    full = answer(body, version=version, language=language, cache=cache)
    make_ready(request.scope, full, parts)
    if if_none_match is None:
        return full
    return answer(body, if_none_match=if_none_match, version=version, language=language, cache=cache)


def said_in(catalog: CatalogCache, language: str) -> str | None:
    """What ``Content-Language`` says; nothing in a shop of one language."""
    return (language or catalog.languages.own) if catalog.languages.others else None


STALE = '110 - "the last known state; nothing of it can be ordered"'


def changed(product_id: UUID) -> News:
    """Who changed a product sees the change at once, and does not wait until Postgres has told everybody of it."""
    return News(frozenset({product_id}), is_listing=True)


def no_such_product() -> Refusal:
    return Refusal("not_found", "There is no such product.")


@get(
    "/v1/search/suggestions",
    permission=Permission.SHOP,
    summary="Complete what is being typed",
    tags=["Catalogue"],
    responses=READS,
)
async def suggest(
    request: Request[Any, Any, Any],
    catalog: CatalogCache,
    q: Typed,
    limit: MostSuggestions,
    if_none_match: IfNoneMatch,
) -> Response[SuggestionList]:
    """Words, brands and products of the shop that begin with what was typed, the most usual first.

    A word is completed together with those before it, so that each suggestion finds something. What nothing begins
    with is taken for a typing error.
    """
    kept = await catalog.suggestions(tuple(search_words(q)), limit)
    return kept_answer(request, kept.body, [kept], if_none_match=if_none_match)


class CategoryController(Controller):
    path = "/v1/categories"
    tags = ("Catalogue",)

    @get(permission=Permission.SHOP, summary="See the tree of categories", responses=READS)
    async def list_categories(
        self,
        request: Request[Any, Any, Any],
        catalog: CatalogCache,
        if_none_match: IfNoneMatch,
        accept_language: AcceptLanguage,
    ) -> Response[CategoryTree]:
        """The whole tree, siblings by their position and name."""
        language = catalog.language(accept_language)
        tree, said = await catalog.tree(language), said_in(catalog, language)
        return kept_answer(request, tree.body, [tree], if_none_match=if_none_match, language=said)

    @post(permission=Permission.CATALOG_WRITE, summary="Add a category", responses=refuses(*CREATES, "slug_taken"))
    async def create(self, data: NewCategory, catalog: CatalogCache, resources: Resources) -> Response[CategoryOut]:
        """A category at the top of the tree, or below another."""
        async with resources.sessions.begin() as session:
            category_id = await catalog_changes.create_category(session, **data.model_dump())
            created = await shown_category(session, category_id, status_code=201)
        catalog.forget(EVERYTHING)
        return created

    @patch(
        "/{category_id:uuid}",
        permission=Permission.CATALOG_WRITE,
        summary="Rename or move a category",
        responses=refuses(*CHANGES, "slug_taken"),
    )
    async def change(
        self,
        category_id: UUID,
        data: CategoryChange,
        catalog: CatalogCache,
        resources: Resources,
        if_match: IfMatch,
    ) -> Response[CategoryOut]:
        """Changes what is given; `parent_id: null` moves to the top. With `If-Match`, stale → 412."""
        async with resources.sessions.begin() as session:
            await catalog_changes.change_category(
                session, category_id, data.model_dump(exclude_unset=True), expected=expected_versions(if_match)
            )
            now = await shown_category(session, category_id)
        catalog.forget(EVERYTHING)
        return now


async def shown_category(session: AsyncSession, category_id: UUID, *, status_code: int = 200) -> Response[CategoryOut]:
    row = await catalog_views.category(session, category_id)
    body = encode_json(category_json(row))
    version = catalog_changes.version_of(row["updated_at"])
    return answer(body, version=version, status_code=status_code, cache=KEEP_NOTHING)


@post(
    "/v1/variants/{variant_id:uuid}/stock-adjustments",
    permission=Permission.STOCK_WRITE,
    summary="Adjust the stock of a variant",
    tags=["Stock"],
    responses=refuses("unauthenticated", "forbidden", "not_found", "insufficient_stock", "idempotency_key_reused"),
)
async def adjust_stock(
    variant_id: UUID, data: StockAdjustment, caller: Caller, catalog: CatalogCache, resources: Resources, once: Once
) -> Response[StockOut]:
    """Adds units to what lies at the location or takes them off, never below what orders have reserved there.

    One ledger entry; the answer is what lies there now.
    """

    async def carry_out(session: AsyncSession) -> StockOut:
        level = await inventory.adjust(
            session, variant_id, data.quantity_change, reason=data.reason, actor=caller.name, location=data.location
        )
        return StockOut(on_hand=level.on_hand, reserved=level.reserved, available=level.available)

    adjusted = await once.write(Asked("adjust", variant_id, data), carry_out, status_code=201)
    async with resources.sessions() as session:
        product_id = await catalog_views.product_of(session, variant_id)
    catalog.forget(changed(product_id))
    return adjusted
