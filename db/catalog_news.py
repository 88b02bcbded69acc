"""What changed in the catalogue, as its triggers tell it."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from db.listening import Channel, Reader


@dataclass(frozen=True, slots=True)
class News:
    """These products changed; ``None`` when any may have."""

    products: frozenset[UUID] | None
    is_listing: bool
    """Which products a list shows, or their order, may have changed too."""


EVERYTHING = News(products=None, is_listing=True)


def catalog_news(shop_schema: str, readers: Sequence[Reader[News]]) -> Channel[News]:
    return Channel(f"catalog_{shop_schema}", news_of, readers)


def news_of(payload: str) -> News:
    """What the triggers of the catalogue's tables say."""
    said = json.loads(payload)
    if said.get("all"):
        return EVERYTHING
    return News(frozenset(UUID(product) for product in said["products"]), bool(said["listing"]))
