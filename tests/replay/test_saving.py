"""Histories of real orders are kept for the tests, with nobody in them."""

import asyncio
import json
import os
from pathlib import Path

import httpx
import pytest
from temporalio.client import WorkflowHistory

from domain.customers import Role
from runtime.resources import Resources
from tests.api.test_operators import Desk, an_order
from tests.replay.test_replay import everything_in
from tests.support.catalog import a_product
from tests.support.processes import free_port
from tests.support.staff import headers_of
from tests.support.waiting import eventually
from workers.histories import STORIES, histories_of, keep, replayer
from workers.saving import save

STORIES_OF_IT = ("Aftercare", "Checkout", "Fulfillment", "Refund", "Return", "Tracking")


async def test_an_order_is_saved_with_all_its_runs_refunds_and_returns_and_nobody_in_them(
    api: httpx.AsyncClient,
    resources: Resources,
    operator: dict[str, str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
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

    async def all_are_listed() -> bool:  # the engine's list is a moment behind
        found = await resources.temporal.count_workflows(f"OrderNumber = '{order['number']}'")
        return found.count == len(STORIES_OF_IT)

    await eventually(all_are_listed)
    case = order["number"].lower().replace("-", "_")

    saved = [tmp_path / f"{story}-{case}.json" for story in STORIES_OF_IT]
    assert await asyncio.to_thread(save, order["number"], tmp_path) == 0
    assert sorted(capsys.readouterr().out.splitlines()) == [f"{path}: replays, saved" for path in saved]
    kept = [path.read_bytes() for path in saved]
    assert await asyncio.to_thread(save, order["id"], tmp_path) == 0
    by_id = order["id"].replace("-", "_")
    assert sorted(capsys.readouterr().out.splitlines()) == [
        f"{tmp_path}/{story}-{by_id}.json: replays, saved" for story in STORIES_OF_IT
    ]
    assert await asyncio.to_thread(keep, {}, saved[0]) is False
    assert [path.read_bytes() for path in saved] == kept
    for path in saved:
        plain = json.loads(path.read_text())
        told = everything_in(plain)
        private = [customers_id, "pm_card_visa", order["payment"]["provider_reference"], "1Z999"]
        assert [secret for secret in private if secret in told] == []
        await replayer(*STORIES).replay_workflow(WorkflowHistory.from_json(path.stem, json.dumps(plain)))


async def test_whoever_cannot_save_a_history_is_told_why(
    resources: Resources, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await asyncio.to_thread(save, "S-999999999", tmp_path) == 1
    told = "The engine knows nothing of S-999999999: there is no such order, or it has forgotten it.\n"
    assert capsys.readouterr().err == told
    nowhere = f"127.0.0.1:{free_port()}"
    monkeypatch.setenv("APP_TEMPORAL__ADDRESS", nowhere)
    assert await asyncio.to_thread(save, "S-1001", tmp_path) == 2
    assert capsys.readouterr().err == f"The workflow engine does not answer at {nowhere}.\n"
    assert await asyncio.to_thread(os.listdir, tmp_path) == []


async def test_what_is_no_order_is_refused_and_an_unknown_one_has_nothing_to_save(resources: Resources) -> None:
    assert await histories_of(resources.temporal, "S-999999999") == {}
    with pytest.raises(ValueError, match="not an order number"):
        await histories_of(resources.temporal, "S-1' OR OrderNumber != '")
