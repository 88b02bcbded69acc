"""What can be said of products, and what is said of each."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import delete, func, select
from sqlalchemy.dialects.postgresql import aggregate_order_by, insert
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from db.catalog import Attribute, AttributeChoice, ProductAttribute
from domain import catalog_attributes as domain
from domain.catalog_attributes import MOST_ATTRIBUTES_OF_A_PRODUCT, AttributeKind, written
from domain.errors import Refusal, unacceptable

Definitions = Mapping[str, domain.Attribute]
"""By their codes."""


async def definitions(session: AsyncSession) -> dict[str, domain.Attribute]:
    """All attributes, by their codes."""
    choices = func.array_agg(aggregate_order_by(AttributeChoice.value, AttributeChoice.position))
    rows = await session.execute(
        select(Attribute.code, Attribute.name, Attribute.kind, choices.filter(AttributeChoice.value.is_not(None)))
        .outerjoin(AttributeChoice, AttributeChoice.attribute == Attribute.code)
        .group_by(Attribute.code)
        .order_by(Attribute.code)
    )
    return {
        code: domain.Attribute(code=code, name=name, kind=AttributeKind(kind), choices=tuple(known or ()))
        for code, name, kind, known in rows
    }


async def put(session: AsyncSession, attribute: domain.Attribute) -> None:
    """Make the attribute, or change its name and choices; refuses ``attribute_in_use`` for what products rely on."""
    made = insert(Attribute).values(code=attribute.code, name=attribute.name, kind=attribute.kind)
    try:
        await session.execute(
            made.on_conflict_do_update(
                index_elements=[Attribute.code], set_={"name": made.excluded.name, "kind": made.excluded.kind}
            )
        )
        await session.execute(
            delete(AttributeChoice).where(
                AttributeChoice.attribute == attribute.code, AttributeChoice.value.not_in(attribute.choices)
            )
        )
        for position, value in enumerate(attribute.choices):
            choice = insert(AttributeChoice).values(attribute=attribute.code, value=value, position=position)
            await session.execute(
                choice.on_conflict_do_update(
                    index_elements=[AttributeChoice.attribute, AttributeChoice.value],
                    set_={"position": choice.excluded.position},
                )
            )
    except IntegrityError as error:
        raise in_use("Products have values of its kind, or choices that would be gone.") from error


async def remove(session: AsyncSession, code: str) -> None:
    """Refuses ``attribute_in_use`` as long as something is said with it."""
    try:
        removed = await session.scalar(delete(Attribute).where(Attribute.code == code).returning(Attribute.code))
    except IntegrityError as error:
        raise in_use("Products have values of it.") from error
    if removed is None:
        raise Refusal("not_found", "There is no such attribute.")


async def say(session: AsyncSession, product_id: UUID, given: Mapping[str, Any]) -> None:
    """Set what is given of the product's attributes, and take away what is given as ``None``."""
    if not given:
        return
    known = await definitions(session)
    rows = [_row(product_id, code, value, known) for code, value in given.items() if value is not None]
    if gone := [code for code, value in given.items() if value is None]:
        await session.execute(
            delete(ProductAttribute).where(
                ProductAttribute.product_id == product_id, ProductAttribute.attribute.in_(gone)
            )
        )
    if rows:
        said = insert(ProductAttribute).values(rows)
        await session.execute(
            said.on_conflict_do_update(
                index_elements=[ProductAttribute.product_id, ProductAttribute.attribute],
                set_={"value": said.excluded.value},
                where=ProductAttribute.value != said.excluded.value,
            )
        )
    of_product = select(func.count()).where(ProductAttribute.product_id == product_id)
    if (await session.scalar(of_product) or 0) > MOST_ATTRIBUTES_OF_A_PRODUCT:
        raise unacceptable("/attributes", f"A product has at most {MOST_ATTRIBUTES_OF_A_PRODUCT} attributes.")


def _row(product_id: UUID, code: str, value: Any, known: Definitions) -> dict[str, Any]:
    attribute = known.get(code)
    if attribute is None:
        raise unacceptable(f"/attributes/{code}"[:200], "There is no such attribute.")
    try:
        text = written(attribute, value)
    except ValueError as error:
        raise unacceptable(f"/attributes/{code}", str(error)) from None
    return {"product_id": product_id, "attribute": code, "kind": attribute.kind, "value": text}


def labels(known: Definitions, code: str, values: Sequence[str]) -> tuple[str, ...]:
    """How listed products bear these values; refuses what the attribute does not take."""
    attribute = known.get(code)
    if attribute is None:
        raise unacceptable(f"/attribute.{code}"[:200], "There is no such attribute.")
    try:
        return tuple(f"{code}={written(attribute, value)}" for value in values)
    except ValueError as error:
        raise unacceptable(f"/attribute.{code}", str(error)) from None


def in_use(detail: str) -> Refusal:
    return Refusal("attribute_in_use", detail)
