"""What staff does besides single products: attributes, many changes at once, and what the public does not see."""

from collections.abc import Iterable
from typing import Annotated, Any, Self
from uuid import UUID, uuid5

from litestar import Controller, Request, Response, delete, get, post, put
from litestar.params import Parameter
from pydantic import AwareDatetime, Field, TypeAdapter, ValidationError, model_validator
from sqlalchemy.ext.asyncio import AsyncSession

from api.auth import Caller
from api.catalog import CREATES, READS, kept_answer
from api.catalog_cache import CatalogCache
from api.catalog_changes import change_product, create_product
from api.catalog_queries import storable
from api.catalog_schemas import (
    AttributeIn,
    AttributeList,
    AttributeOut,
    NewProduct,
    ProductChange,
    ProductOut,
    attribute_json,
    product_json,
)
from api.conditional import IfNoneMatch
from api.errors import PROBLEMS, pointer, refuses
from api.idempotency import Asked, Once
from api.paging import Cursor, Limit, cursor_behind, id_in_cursor
from api.schemas import Input, Output
from db import catalog_attributes, catalog_changes, catalog_views
from db.base import new_id
from db.catalog_news import EVERYTHING, News
from db.catalog_views import Shelf
from domain.catalog_attributes import Attribute
from domain.errors import Refusal
from domain.permissions import Permission
from runtime.resources import Resources

MOST_AT_ONCE = 100

Code = Annotated[str, Parameter(pattern="^[a-z][a-z0-9_]{0,49}$", description="Such as `colour`")]


class AttributeController(Controller):
    path = "/v1/attributes"
    tags = ("Catalogue",)

    @get(permission=Permission.SHOP, summary="See what can be said of products", responses=READS)
    async def list_attributes(
        self, request: Request[Any, Any, Any], catalog: CatalogCache, if_none_match: IfNoneMatch
    ) -> Response[AttributeList]:
        """All attributes by their codes, with their kinds and choices."""
        kept = await catalog.attributes()
        return kept_answer(request, kept.body, [kept], if_none_match=if_none_match)

    @put(
        "/{code:str}",
        permission=Permission.CATALOG_WRITE,
        summary="Define an attribute",
        responses=refuses(*CREATES, "attribute_in_use"),
    )
    async def define(self, code: Code, data: AttributeIn, catalog: CatalogCache, resources: Resources) -> AttributeOut:
        """Makes it, or changes its name and choices. What products have values of keeps its kind and their choices."""
        attribute = Attribute(code=code, name=data.name, kind=data.kind, choices=tuple(data.choices))
        async with resources.sessions.begin() as session:
            await catalog_attributes.put(session, attribute)
        catalog.forget(EVERYTHING)
        return AttributeOut.model_validate(attribute_json(attribute))

    @delete(
        "/{code:str}",
        permission=Permission.CATALOG_WRITE,
        summary="Remove an attribute",
        responses=refuses(*CREATES, "not_found", "attribute_in_use"),
    )
    async def remove(self, code: Code, catalog: CatalogCache, resources: Resources) -> None:
        """Only as long as no product has a value of it."""
        async with resources.sessions.begin() as session:
            await catalog_attributes.remove(session, code)
        catalog.forget(EVERYTHING)


class ChangedProduct(ProductChange):
    id: UUID
    version: int | None = Field(default=None, description="Only when the product is still at this version")


class ArchivedProduct(Input):
    id: UUID
    version: int | None = None


class BulkWrite(Input):
    """One of the three."""

    create: NewProduct | None = None
    change: ChangedProduct | None = None
    archive: ArchivedProduct | None = None

    @model_validator(mode="after")
    def is_one_of_them(self) -> Self:
        if len(self.model_fields_set) != 1 or not (self.create or self.change or self.archive):
            raise ValueError("give one of create, change and archive")
        return self


class BulkWrites(Input):
    items: Annotated[list[dict[str, Any]], Field(min_length=1, max_length=MOST_AT_ONCE)] = Field(
        description="Each has one of `create` (as in `POST /v1/products`), `change` (as in `PATCH`, with `id` and, "
        "if you like, `version`) and `archive` (`id`, `version`)",
        examples=[[{"change": {"id": "01900000-0000-7000-8000-000000000000", "name": "Large mug"}}]],
    )


class BulkProblem(Output):
    code: str
    detail: str
    errors: list[dict[str, str]] | None = None


class BulkResult(Output):
    index: int
    status: int = Field(description="What this write alone would have been answered")
    id: UUID | None = None
    problem: BulkProblem | None = None


class BulkReport(Output):
    items: list[BulkResult]
    succeeded: int
    failed: int


@post(
    "/v1/admin/products/bulk",
    permission=Permission.CATALOG_WRITE,
    summary="Write many products",
    tags=["Catalogue"],
    status_code=200,
    responses=refuses("unauthenticated", "forbidden", "idempotency_key_reused"),
)
async def write_many(
    data: BulkWrites, caller: Caller, catalog: CatalogCache, resources: Resources, once: Once
) -> Response[BulkReport]:
    """Up to 100 products, each on its own: one that is refused does not stop the others, and the report says why."""

    async def carry_out(wish_id: UUID) -> BulkReport:
        results = []
        for index, item in enumerate(data.items):
            try:
                async with resources.sessions.begin() as session:
                    status, product_id = await _written(session, item, uuid5(wish_id, str(index)), caller.name)
                results.append(BulkResult(index=index, status=status, id=product_id))
            except Refusal as refusal:
                results.append(_refused(index, refusal))
        written = frozenset(result.id for result in results if result.id is not None)
        if written:
            catalog.forget(News(written, is_listing=True))
        return BulkReport(items=results, succeeded=len(written), failed=len(results) - len(written))

    return await once.ask(Asked("write_products", caller.id or new_id(), data), carry_out)


async def _written(session: AsyncSession, item: dict[str, Any], new_product: UUID, actor: str) -> tuple[int, UUID]:
    try:
        wanted = WRITE.validate_python(item)
    except ValidationError as error:
        raise Refusal("validation_failed", "Some fields are not acceptable.", errors=list(_pointers(error))) from None
    if wanted.create:
        await create_product(session, new_product, wanted.create, actor=actor)
        return 201, new_product
    if wanted.change:
        expected = None if wanted.change.version is None else {wanted.change.version}
        await change_product(session, wanted.change.id, wanted.change, expected=expected, actor=actor)
        return 200, wanted.change.id
    assert wanted.archive is not None  # noqa: S101 - the schema refuses a write without any of them
    expected = None if wanted.archive.version is None else {wanted.archive.version}
    await catalog_changes.archive_product(session, wanted.archive.id, expected=expected)
    return 204, wanted.archive.id


WRITE = TypeAdapter(BulkWrite)


def _pointers(error: ValidationError) -> Iterable[dict[str, str]]:
    for wrong in error.errors():
        yield {"pointer": pointer(wrong["loc"]), "detail": wrong["msg"]}


def _refused(index: int, refusal: Refusal) -> BulkResult:
    problem = BulkProblem(code=refusal.code, detail=refusal.detail, errors=refusal.facts.get("errors"))
    return BulkResult(index=index, status=PROBLEMS[refusal.code].status, problem=problem)


class StaffProduct(ProductOut):
    status: Shelf = Field(description="Where it is now; `active` is what the public sees")
    archived_at: AwareDatetime | None


class StaffProductPage(Output):
    items: list[StaffProduct]
    next_cursor: str | None


@get(
    "/v1/admin/products",
    permission=Permission.CATALOG_READ,
    summary="Find products that are shown or not",
    tags=["Operators"],
    responses=refuses("unauthenticated", "forbidden"),
)
async def staff_products(
    resources: Resources,
    limit: Limit,
    cursor: Cursor,
    status: Annotated[Shelf | None, Parameter(default=None, description="Only those that are there now")],
    q: Annotated[
        str | None, Parameter(max_length=200, default=None, description="Part of the name, a whole SKU or a slug")
    ],
) -> Response[StaffProductPage]:
    """All products, the newest first: active, inactive, archived, scheduled and expired ones."""
    currency = resources.settings.shop.currency
    async with resources.sessions() as session:
        views = await catalog_views.staff_products(
            session,
            currency=currency,
            limit=limit + 1,
            before=id_in_cursor(cursor),
            shelf=status,
            q=storable("/q", q),
        )
    items = [
        {**product_json(view, currency), "status": view.product["status"], "archived_at": view.product["archived_at"]}
        for view in views[:limit]
    ]
    rest = cursor_behind(views, limit, lambda view: view.product["id"])
    return Response(
        {"items": items, "next_cursor": rest},  # type: ignore[arg-type]
        headers={"Cache-Control": "private, no-store"},
    )
