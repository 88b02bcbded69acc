"""Products and categories in other languages than the shop's own: staff writes, the catalogue shows."""

from typing import Annotated
from uuid import UUID

from litestar import Controller, Response, delete, get, put
from litestar.params import Parameter
from litestar.serialization import encode_json

from api.auth import Caller
from api.catalog import CHANGES, CREATES, changed
from api.catalog_cache import CatalogCache
from api.catalog_schemas import Description, Name
from api.conditional import KEEP_NOTHING, IfMatch, answer, expected_versions
from api.errors import refuses
from api.schemas import Input, Output
from db import audit_log, translations
from db.catalog_news import EVERYTHING
from domain.errors import unacceptable
from domain.languages import Languages
from domain.permissions import Permission
from runtime.resources import Resources

Language = Annotated[
    str, Parameter(max_length=35, description="BCP 47, one of the shop's other languages, such as `de`")
]


class ProductText(Input):
    name: Name
    description: Description = ""


class CategoryText(Input):
    name: Name


class ProductTextOut(Output):
    language: str
    name: str
    description: str


class ProductTextList(Output):
    items: list[ProductTextOut]


class TranslationController(Controller):
    path = "/v1"
    tags = ("Catalogue",)

    @get(
        "/products/{product_id:uuid}/translations",
        permission=Permission.CATALOG_READ,
        summary="Read a product in all languages",
        responses=refuses(*CREATES, "not_found"),
    )
    async def of_product(self, product_id: UUID, resources: Resources) -> Response[ProductTextList]:
        """Besides the shop's own. The `ETag` is what a change can be based on."""
        async with resources.autocommit() as session:
            version, rows = await translations.of_product(session, product_id)
        return answer(encode_json({"items": [dict(row) for row in rows]}), version=version, cache=KEEP_NOTHING)

    @put(
        "/products/{product_id:uuid}/translations/{language:str}",
        permission=Permission.CATALOG_WRITE,
        status_code=204,
        summary="Say in another language what a product is",
        responses=refuses(*CHANGES),
    )
    async def say_of_product(
        self,
        product_id: UUID,
        language: Language,
        data: ProductText,
        caller: Caller,
        catalog: CatalogCache,
        resources: Resources,
        if_match: IfMatch,
    ) -> None:
        """With `If-Match` only while nobody else has changed the product: stale → 412."""
        check_spoken(resources.settings.shop.spoken, language)
        async with resources.sessions.begin() as session:
            await translations.say_of_product(
                session,
                product_id,
                language,
                name=data.name,
                description=data.description,
                expected=expected_versions(if_match),
            )
            await audit_log.note(session, caller.name, "translate_product", words=f"{product_id} {language}")
        catalog.forget(changed(product_id))

    @delete(
        "/products/{product_id:uuid}/translations/{language:str}",
        permission=Permission.CATALOG_WRITE,
        summary="Take a translation of a product away",
        responses=refuses(*CHANGES),
    )
    async def unsay_of_product(
        self,
        product_id: UUID,
        language: Language,
        caller: Caller,
        catalog: CatalogCache,
        resources: Resources,
        if_match: IfMatch,
    ) -> None:
        """Who asks for that language is shown the next best one."""
        check_spoken(resources.settings.shop.spoken, language)
        async with resources.sessions.begin() as session:
            expected = expected_versions(if_match)
            await translations.unsay_of_product(session, product_id, language, expected=expected)
            await audit_log.note(session, caller.name, "untranslate_product", words=f"{product_id} {language}")
        catalog.forget(changed(product_id))

    @put(
        "/categories/{category_id:uuid}/translations/{language:str}",
        permission=Permission.CATALOG_WRITE,
        status_code=204,
        summary="Say in another language what a category is called",
        responses=refuses(*CHANGES),
    )
    async def say_of_category(
        self,
        category_id: UUID,
        language: Language,
        data: CategoryText,
        catalog: CatalogCache,
        resources: Resources,
        if_match: IfMatch,
    ) -> None:
        """With `If-Match`, stale → 412."""
        await self._call_category(category_id, language, data.name, catalog, resources, if_match)

    @delete(
        "/categories/{category_id:uuid}/translations/{language:str}",
        permission=Permission.CATALOG_WRITE,
        summary="Take a translation of a category away",
        responses=refuses(*CHANGES),
    )
    async def unsay_of_category(
        self, category_id: UUID, language: Language, catalog: CatalogCache, resources: Resources, if_match: IfMatch
    ) -> None:
        """Who asks for that language is shown the next best one."""
        await self._call_category(category_id, language, None, catalog, resources, if_match)

    async def _call_category(
        self,
        category_id: UUID,
        language: str,
        name: str | None,
        catalog: CatalogCache,
        resources: Resources,
        if_match: str | None,
    ) -> None:
        check_spoken(resources.settings.shop.spoken, language)
        async with resources.sessions.begin() as session:
            expected = expected_versions(if_match)
            await translations.say_of_category(session, category_id, language, name=name, expected=expected)
        catalog.forget(EVERYTHING)


def check_spoken(spoken: Languages, language: str) -> None:
    if language == spoken.own:
        raise unacceptable("/language", f"{language} is the shop's own language; change the product itself.")
    if language not in spoken.others:
        raise unacceptable("/language", f"The shop speaks {', '.join(spoken.all)}.")
