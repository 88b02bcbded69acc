"""What operators see and do about books that do not add up: on a terminal, over HTTP, while the shop is busy."""

import asyncio
import json
import os
import subprocess
import sys
from typing import Any
from uuid import UUID, uuid4

import pytest

from domain.audit import Law, LookAtBooks
from tests.support.catalog import a_product
from tests.support.own_shop import OwnShop

IN_A_RUSH = LookAtBooks(patience_seconds=2, pause_seconds=2)


async def test_an_audit_raises_no_false_alarm_while_orders_are_placed_shipped_and_cancelled(shop: OwnShop) -> None:
    product = await a_product(shop.resources.sessions, price="10.00", stock=500)
    is_over = asyncio.Event()

    async def trade(number: int) -> int:
        orders = 0
        while not is_over.is_set():
            order = await shop.buy(1, product=product)
            match (orders + number) % 3:
                case 0:
                    await shop.deliver(order)
                case 1:
                    await shop.desk_cancel(order)
                case _:
                    parcel = await shop.ship(order)
                    await shop.desk(f"/fulfillments/{parcel}/lost", {"remedy": "refund"})
            orders += 1
        return orders

    trading = [asyncio.create_task(trade(number)) for number in range(4)]
    reports = [await shop.audit(IN_A_RUSH) for _ in range(4)]
    is_over.set()
    traded = await asyncio.gather(*trading)

    assert [report.breaches for report in reports] == [[], [], [], []]
    assert sum(traded) >= 4
    assert (await shop.audit()).breaches == []


async def sutler(shop: OwnShop, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "cli", *arguments],
        env={**os.environ, **shop.environment},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.timeout(600)
async def test_the_command_tells_what_is_wrong_repairs_it_when_asked_and_says_so_by_its_exit_code(
    shop: OwnShop,
) -> None:
    healthy = await sutler(shop, "audit")
    assert (healthy.returncode, healthy.stdout.strip()) == (0, "Everything adds up."), healthy.stderr
    order = await shop.buy()
    variant = order["items"][0]["variant_id"]
    await shop.sql("UPDATE stock SET on_hand = on_hand + 3 WHERE variant_id = :variant", variant=UUID(variant))

    told = await sutler(shop, "audit", "--json")

    assert told.returncode == 1, told.stderr
    sku = order["items"][0]["sku"]
    assert json.loads(told.stdout) == [
        {
            "law": "stock_is_its_movements",
            "subject": f"{variant}/main",
            "words": f"23 units of {sku} are in stock, but its movements add up to 20",
            "order_id": None,
            "repair": "write_missing_movement",
        }
    ]
    repaired = await sutler(shop, "audit", "--repair", "--yes")
    assert repaired.returncode == 0, repaired.stdout + repaired.stderr
    assert "23 units of" in repaired.stdout
    assert repaired.stdout.strip().endswith("Everything adds up.")
    movement = await shop.sql(
        "SELECT on_hand_change, reason, actor FROM stock_movements WHERE variant_id = :variant AND reason = 'audit'",
        variant=UUID(variant),
    )
    assert tuple(movement.one()) == (3, "audit", "operator:terminal")


@pytest.mark.matrix("ship: somebody has ended the order's workflow")
async def test_operators_list_breaches_and_resume_an_order_over_http(shop: OwnShop) -> None:
    order = await shop.buy()
    await shop.kill_story(order)
    await shop.audit()

    async def listed(**query: Any) -> Any:
        answer = await shop.http.get("/v1/admin/breaches", params=query, headers=shop.operator)
        assert answer.status_code == 200, answer.text
        return answer.json()

    page = await listed()
    [breach] = page["items"]
    assert (breach["law"], breach["subject"], breach["repair"]) == ("orders_have_a_story", order["id"], "resume_order")
    assert page["next_cursor"] is None
    assert await listed(law=Law.STATUSES_AGREE) == {"items": [], "next_cursor": None}
    metrics = (await shop.http.get("/metrics")).text
    assert 'sutler_audit_breaches{law="orders_have_a_story"} 1.0' in metrics
    assert 'sutler_audit_breaches{law="statuses_agree"} 0.0' in metrics

    for _ in range(2):  # content when it runs
        resumed = await shop.desk(f"/orders/{order['id']}/resume")
        assert (resumed["status"], resumed["concerns"]) == ("confirmed", [])

    assert (await listed())["items"] == []
    assert (await shop.timeline(order)).count("order.repaired") == 1
    await shop.deliver(order)
    refused = await shop.desk(f"/orders/{order['id']}/resume", status=409)
    assert (refused["code"], refused["current_status"], refused["allowed"]) == (
        "order_transition_not_allowed",
        "delivered",
        [],
    )
    nobody = await shop.http.get("/v1/admin/breaches")
    assert (nobody.status_code, nobody.json()["code"]) == (401, "unauthenticated")
    unknown = await shop.desk(f"/orders/{uuid4()}/resume", status=404)
    assert unknown["code"] == "not_found"
