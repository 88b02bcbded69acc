"""Histories of real orders are kept for the tests, with nobody in them."""

import asyncio
import json
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
from temporalio.client import WorkflowHistory

from domain.customers import Role
from runtime.resources import Resources
from tests.api.test_operators import Desk, an_order
from tests.replay.test_replay import everything_in
from tests.support.catalog import a_product
from tests.support.staff import headers_of
from tests.support.waiting import eventually
from workers.histories import STORIES, histories_of, replayer, save


async def test_an_order_is_saved_with_all_its_runs_refunds_and_returns_and_nobody_in_them(
    api: httpx.AsyncClient, resources: Resources, operator: dict[str, str], tmp_path: Path
) -> None:
    desk = Desk(api, operator)
    customer = await headers_of(resources, Role.CUSTOMER)
    order = await an_order(api, (await a_product(resources.sessions, price="10.00", stock=5), 1), headers=customer)
    parcel = await desk.packs(order)
    await desk.ships(parcel)
    await desk.post(f"/fulfillments/{parcel}/deliver")
    wish = [{"order_item_id": order["items"][0]["id"], "quantity": 1, "reason": "too small"}]
    goods = (await api.post(f"/v1/orders/{order['id']}/returns", json={"items": wish}, headers=customer)).json()
    for move in ("approve", "receive"):
        assert (await desk.post(f"/returns/{goods['id']}/{move}")).status_code == 200
    customers_id = (await api.get("/v1/users/me", headers=customer)).json()["id"]

    async def all_of_it() -> dict[str, dict[str, Any]] | None:
        known = await histories_of(resources.temporal, order["number"])
        return known if len(known) == 4 else None  # the engine's list is a moment behind

    found = await eventually(all_of_it)
    case = order["number"].lower().replace("-", "_")

    saved = await asyncio.to_thread(save, found, tmp_path)
    assert sorted(path.name for path in saved) == [
        f"{story}-{case}.json" for story in ("Checkout", "Fulfillment", "Refund", "Return")
    ]
    assert await asyncio.to_thread(save, found, tmp_path) == []
    for path in saved:
        plain = json.loads(path.read_text())
        told = everything_in(plain)
        private = [customers_id, "pm_card_visa", order["payment"]["provider_reference"], "1Z999"]
        assert [secret for secret in private if secret in told] == []
        await replayer(*STORIES).replay_workflow(WorkflowHistory.from_json(path.stem, json.dumps(plain)))
    by_id = await histories_of(resources.temporal, str(UUID(order["id"])))
    assert len(by_id) == len(found)


async def test_what_is_no_order_is_refused_and_an_unknown_one_has_nothing_to_save(resources: Resources) -> None:
    assert await histories_of(resources.temporal, "S-999999999") == {}
    with pytest.raises(ValueError, match="not an order number"):
        await histories_of(resources.temporal, "S-1' OR OrderNumber != '")
