"""What operators do with the running shop on a terminal, and how programs read it."""

import asyncio
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import httpx
import pytest
from rich.console import Console
from typer.testing import CliRunner

from api.maintenance import is_let_in
from cli import app
from deploy.audit import ACTOR
from domain.customers import Role
from tests.support import processes
from tests.support.own_shop import OwnShop
from tests.support.staff import headers_of
from tests.support.waiting import eventually
from workflows.names import Queue


@dataclass(frozen=True)
class Said:
    exit_code: int
    text: str

    @property
    def json(self) -> Any:
        return json.loads(self.text)


Sutler = Callable[..., Awaitable[Said]]


@pytest.fixture
async def sutler(shop: OwnShop, monkeypatch: pytest.MonkeyPatch) -> Sutler:
    """The command with an operator's token; what it writes, and nothing that others log meanwhile."""
    environment = {
        **shop.environment,
        "APP_SHOP__PUBLIC_URL": str(shop.http.base_url),
        "SUTLER_TOKEN": shop.operator["Authorization"].removeprefix("Bearer "),
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    written = StringIO()
    for module in ("deploy.orders", "deploy.engine"):
        console = Console(file=written, width=200, highlight=False, markup=False, emoji=False)
        monkeypatch.setattr(f"{module}.terminal", lambda console=console: console)

    async def run(*arguments: str, pipe: str | None = None) -> Said:
        written.seek(0)
        written.truncate()
        done = await asyncio.to_thread(CliRunner().invoke, app, arguments, input=pipe)
        return Said(done.exit_code, written.getvalue())

    return run


async def test_several_orders_are_cancelled_at_once_and_a_dry_run_says_what_would_become_of_each(
    shop: OwnShop, sutler: Sutler
) -> None:
    confirmed, shipped = await shop.buy(), await shop.buy()
    await shop.ship(shipped)
    wish = ("order", "cancel", "-", "--reason", "a recall", "--json")
    numbers = "\n".join([confirmed["number"], shipped["id"], "S-99999999", shipped["email"]])
    before = [await shop.timeline(order) for order in (confirmed, shipped)]

    told = await sutler(*wish, "--dry-run", pipe=numbers)

    assert told.json == [
        {"number": confirmed["number"], "is_fine": True, "words": "would be cancelled; it is confirmed"},
        {"number": shipped["number"], "is_fine": False, "words": "would be refused: a parcel has left"},
        {"number": "S-99999999", "is_fine": False, "words": "there is no such order"},
        {"number": shipped["email"], "is_fine": False, "words": "there is no such order"},
    ]
    assert told.exit_code == 1
    assert [await shop.timeline(order) for order in (confirmed, shipped)] == before

    done = await sutler(*wish, pipe=numbers)

    assert [(row["number"], row["is_fine"]) for row in done.json] == [
        (confirmed["number"], True),
        (shipped["number"], False),
        ("S-99999999", False),
        (shipped["email"], False),
    ]
    assert done.exit_code == 1
    assert [(await shop.look(order))["status"] for order in (confirmed, shipped)] == ["cancelled", "shipped"]
    assert await shop.timeline(shipped) == before[1]


async def test_orders_are_held_released_and_resolved_as_the_dry_run_said(shop: OwnShop, sutler: Sutler) -> None:
    order = await shop.buy()

    async def told(*arguments: str) -> tuple[int, str]:
        said = await sutler("order", *arguments, order["number"], "--json", "--yes")
        [row] = said.json
        return said.exit_code, row["words"]

    resolve = ("resolve", "--decision", "retry", "--note", "they said so")
    assert await told("hold", "--reason", "a doubt", "--dry-run") == (0, "would be held; it is confirmed")
    assert (await shop.look(order))["is_held"] is False
    assert await told("hold", "--reason", "a doubt") == (0, "held")
    assert (await shop.look(order))["is_held"] is True
    assert await told(*resolve, "--dry-run") == (1, "would be refused: it waits for nobody")
    assert await told(*resolve) == (1, "The order does not wait for such a decision of a person.")
    assert await told("release") == (0, "released")
    assert (await shop.look(order))["is_held"] is False
    assert await told("resume") == (0, "going on")
    assert await told("cancel", "--reason", "not wanted") == (0, "cancelled")
    assert await told("resume", "--dry-run") == (1, "would be refused: it is cancelled")


async def test_orders_payments_and_stock_are_shown_to_people_and_to_programs(shop: OwnShop, sutler: Sutler) -> None:
    order = await shop.buy()
    item = order["items"][0]
    number, total = order["number"], order["totals"]["total"]

    shown = (await sutler("orders", "show", number, "--json")).json
    [listed] = (await sutler("order", "list", "--limit", "1", "--json")).json
    explained = (await sutler("order", "explain", number, "--json")).json
    [paid] = (await sutler("payments", "list", "--status", "authorized", "--limit", "1", "--json")).json
    payment = (await sutler("payments", "show", number, "--json")).json
    stock = (await sutler("stock", "list", "--limit", "100", "--json")).json

    assert (shown["id"], [event["type"] for event in shown["events"]]) == (order["id"], await shop.timeline(order))
    assert (listed["number"], explained["number"], paid["order"]) == (number, number, number)
    assert (payment["order"], payment["status"], payment["amount"], payment["refunds"]) == (
        number,
        "authorized",
        total,
        [],
    )
    [variant] = [row for row in stock if row["variant_id"] == item["variant_id"]]
    assert (variant["on_hand"], variant["reserved"], variant["available"]) == (20, 2, 18)
    for arguments, words in (
        (("order", "list", "--limit", "1"), number),
        (("payments", "list", "--limit", "1"), number),
        (("payments", "show", number), "authorized"),
        (("stock", "list", "--limit", "100"), item["sku"]),
    ):
        said = await sutler(*arguments)
        assert (said.exit_code, words in said.text) == (0, True), said.text
    nothing = await sutler("payments", "show", "S-99999999")
    assert (nothing.exit_code, nothing.text) == (1, "There is no order S-99999999 with a payment.\n")


async def test_queues_are_shown_with_who_serves_them(sutler: Sutler) -> None:
    told = (await sutler("queues", "list", "--json")).json

    assert {row["queue"] for row in told} == set(Queue)
    assert all(row["workflow_pollers"] > 0 for row in told)
    assert "checkout" in (await sutler("queues", "list")).text


async def test_what_comes_by_the_clock_is_paused_and_resumed(sutler: Sutler, shop: OwnShop) -> None:
    async def are_listed() -> bool:
        return {row["schedule"] for row in (await sutler("schedules", "list", "--json")).json} >= {"cart-tidying"}

    async def tidying() -> Any:
        rows = (await sutler("schedules", "list", "--json")).json
        return next((row["is_paused"], row["note"]) for row in rows if row["schedule"] == "cart-tidying")

    await eventually(are_listed)
    was_paused, _ = await tidying()

    assert (await sutler("schedules", "pause", "cart-tidying", "--reason", "we look")).exit_code == 0
    assert await tidying() == (True, "we look")
    assert (await sutler("schedules", "resume", "cart-tidying", "--reason", "seen")).exit_code == 0
    assert await tidying() == (False, "seen")
    if was_paused:
        await sutler("schedules", "pause", "cart-tidying", "--reason", "as before")
    unknown = await sutler("schedules", "run", "no-such-thing")
    assert (unknown.exit_code, unknown.text.startswith("There is no such thing")) == (1, True)
    noted = await shop.http.get("/v1/admin/audit", params={"actor": ACTOR}, headers=shop.operator)
    entries = [(entry["action"], entry["note"]) for entry in noted.json()["items"]]
    assert [entry for entry in reversed(entries) if entry[0].startswith("schedule.")][:2] == [
        ("schedule.pause", "cart-tidying: we look"),
        ("schedule.resume", "cart-tidying: seen"),
    ]
    assert "no-such-thing" not in str(entries)


async def test_what_cannot_be_noted_is_not_done(sutler: Sutler, monkeypatch: pytest.MonkeyPatch) -> None:
    async def tidying() -> Any:
        rows = (await sutler("schedules", "list", "--json")).json
        return next(((row["is_paused"], row["note"]) for row in rows if row["schedule"] == "cart-tidying"), None)

    before = await eventually(tidying)
    monkeypatch.setenv("APP_DATABASE__URL", "postgresql+asyncpg://nobody@127.0.0.1:1/nowhere")

    refused = await sutler("schedules", "pause", "cart-tidying", "--reason", "nobody shall know")

    assert (refused.exit_code, refused.text.startswith("Nothing was changed")) == (1, True)
    assert await tidying() == before


LOOKS = re.findall(r"`(temporal [^`]+)`", Path("docs/tctl.md").read_text().partition("## Change")[0])


async def test_the_commands_of_temporal_that_stand_in_for_those_of_tctl_show_an_order(shop: OwnShop) -> None:
    order, engine = await shop.buy(), shop.resources.settings.temporal
    environment = {**os.environ, "TEMPORAL_ADDRESS": engine.address, "TEMPORAL_NAMESPACE": engine.namespace}
    decoded = [
        "--codec-endpoint",
        str(shop.http.base_url.join("/codec")),
        "--codec-auth",
        shop.operator["Authorization"],
    ]
    shown = {command for command in LOOKS if not re.search("--follow|JOB", command)}

    async def told(command: str) -> "subprocess.CompletedProcess[str]":
        words = shlex.split(command.replace("order:ID", f"order:{order['id']}"))
        program = [str(Path(sys.prefix) / "bin" / words[0]), *words[1:], *decoded]
        return await asyncio.to_thread(
            subprocess.run, program, env=environment, capture_output=True, text=True, check=False
        )

    answers = dict(zip(sorted(shown), [await told(command) for command in sorted(shown)], strict=True))
    assert {command: answer.stderr for command, answer in answers.items() if answer.returncode} == {}
    assert order["id"] in answers["temporal workflow describe --workflow-id order:ID"].stdout
    assert order["number"] in answers["temporal workflow metadata --workflow-id order:ID"].stdout
    assert len(answers) > 15


# --- changed while the shop runs ------------------------------------------------------------------------------------


LET_IN = (
    "GET /v1/products",
    "HEAD /v1/carts/1",
    "OPTIONS /v1/checkouts",
    "POST /v1/auth/login",
    "POST /v1/auth/refresh",
    "PUT /v1/admin/maintenance",
    "PUT //v1/admin/maintenance/",
    "POST /codec/decode",
)
KEPT_OUT = (
    "POST /v1/auth/register",
    "POST /v1/checkouts",
    "POST /v1/webhooks/stripe",
    "PATCH /v1/users/me",
    "DELETE /v1/carts/1/items/2",
    "POST /v1/administrators",
)


@pytest.mark.parametrize("request_line", [*LET_IN, *KEPT_OUT])
def test_maintenance_lets_in_who_looks_and_the_staff(request_line: str) -> None:
    method, _, path = request_line.partition(" ")
    scope: Any = {"type": "http", "method": method, "path": path}

    assert is_let_in(scope) is (request_line in LET_IN)


async def test_maintenance_keeps_every_process_from_changing_anything_until_it_is_over(
    shop: OwnShop, sutler: Sutler, tmp_path_factory: pytest.TempPathFactory
) -> None:
    port, log = processes.free_port(), tmp_path_factory.mktemp("second") / "api.log"
    url = f"http://127.0.0.1:{port}"
    environment = {**shop.environment, "APP_API__PORT": str(port)}
    with processes.process("cli", "api", environment=environment, ready=processes.answers(f"{url}/health"), log=log):
        async with httpx.AsyncClient(base_url=url, timeout=60) as second:
            both = (shop.http, second)

            async def change() -> list[httpx.Response]:
                return [await api.post("/v1/carts", json={"currency": "USD"}) for api in both]

            async def holds() -> bool:
                return {answer.status_code for answer in await change()} == {503}

            async def is_over() -> bool:
                return {answer.status_code for answer in await change()} == {201}

            begun = await sutler("config", "set", "maintenance", "120", "--reason", "a new disk")
            try:
                assert (begun.exit_code, begun.text) == (0, "maintenance: 120, in all processes.\n")
                await eventually(holds)
                for answer in await change():
                    assert answer.headers["retry-after"] == "120"
                    assert answer.headers["content-type"] == "application/problem+json"
                    assert (answer.json()["code"], answer.json()["status"]) == ("maintenance", 503)
                for api in both:
                    assert (await api.get("/v1/products")).status_code == 200
                    assert (await api.get("/health")).status_code == 200
                    looked = await api.get("/v1/admin/maintenance", headers=shop.operator)
                    assert (looked.json()["is_on"], looked.json()["retry_after_seconds"]) == (True, 120)
                changed = (await sutler("config", "changed", "--json")).json
                assert ("maintenance", "120 s", "off") in [
                    (row["name"], row["value"], row["setting"]) for row in changed
                ]
            finally:
                over = await sutler("config", "unset", "maintenance", "--reason", "it is in")
            assert over.exit_code == 0
            await eventually(is_over)
    log_of = await shop.http.get("/v1/admin/audit?limit=2", headers=shop.operator)
    assert [(entry["action"], entry["note"]) for entry in log_of.json()["items"]] == [
        ("maintenance.end", "it is in"),
        ("maintenance.begin", "a new disk"),
    ]


async def test_only_admins_begin_maintenance_and_for_a_time_that_there_is(shop: OwnShop) -> None:
    operator = await headers_of(shop.resources, Role.OPERATOR)
    at, wish = "/v1/admin/maintenance", {"is_on": True, "reason": "why not"}

    assert (await shop.http.put(at, json=wish, headers=operator)).status_code == 403
    for seconds in (0, 86_401):
        wrong = await shop.http.put(at, json={**wish, "retry_after_seconds": seconds}, headers=shop.operator)
        assert (wrong.status_code, wrong.json()["errors"][0]["pointer"]) == (422, "/retry_after_seconds")
    assert (await shop.http.get(at, headers=shop.operator)).json() == {
        "is_on": False,
        "retry_after_seconds": None,
        "begun_at": None,
    }


async def test_limits_and_the_logs_level_are_changed_and_are_as_the_settings_say_again(
    shop: OwnShop, sutler: Sutler
) -> None:
    async def holds() -> dict[str, str]:
        rows = (await sutler("config", "changed", "--json")).json
        return {row["name"]: row["value"] for row in rows if row["name"] in ("log-level", "limits.address.accounts")}

    before = await holds()
    for name, value in (("log-level", "ERROR"), ("limits.address.accounts", "70/min")):
        assert (await sutler("config", "set", name, value, "--reason", "we look")).exit_code == 0
    assert await holds() == {"log-level": "ERROR", "limits.address.accounts": "70/min"}
    for name in ("log-level", "limits.address.accounts"):
        assert (await sutler("config", "unset", name, "--reason", "seen")).exit_code == 0
    assert await holds() == before == {"log-level": "DEBUG"}

    refused = await sutler("config", "set", "limits.address.accounts", "often", "--reason", "we look")
    assert (refused.exit_code, refused.text[:21]) == (1, "422 validation_failed")
    assert (await sutler("config", "set", "shop-name", "Ann's", "--reason", "nicer")).exit_code == 2
