"""What the tests of the catalogue ask the API, said once."""

from typing import Any

import httpx
from sqlalchemy import text

from runtime.resources import Resources


def usd(amount: str) -> dict[str, str]:
    return {"amount": amount, "currency": "USD"}


def names(page: httpx.Response) -> list[str]:
    assert page.status_code == 200, page.text
    return [item["name"] for item in page.json()["items"]]


async def all_pages(api: httpx.AsyncClient, **params: Any) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    while True:
        page = (await api.get("/v1/products", params=params)).json()
        items += page["items"]
        if page["next_cursor"] is None:
            return items
        params["cursor"] = page["next_cursor"]


async def adjust(api: httpx.AsyncClient, headers: dict[str, str], variant_id: Any, change: int) -> httpx.Response:
    return await api.post(
        f"/v1/variants/{variant_id}/stock-adjustments",
        json={"quantity_change": change, "reason": "counted"},
        headers=headers,
    )


async def a_new_category(api: httpx.AsyncClient, headers: dict[str, str], **wanted: Any) -> dict[str, Any]:
    made = await api.post("/v1/categories", json=wanted, headers=headers)
    assert made.status_code == 201, made.text
    body: dict[str, Any] = made.json()
    return body


async def reserve_all(resources: Resources, variant_id: Any) -> None:
    """What an order would do, without the order."""
    async with resources.sessions.begin() as session:
        await session.execute(
            text(
                """
                WITH held AS (
                    UPDATE stock SET reserved = on_hand WHERE variant_id = :id RETURNING variant_id, on_hand
                )
                INSERT INTO stock_movements (variant_id, on_hand_change, reserved_change, reason)
                SELECT variant_id, 0, on_hand, 'test' FROM held
                """
            ),
            {"id": variant_id},
        )
