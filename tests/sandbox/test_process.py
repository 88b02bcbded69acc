"""The process: what it promises to remember, and when it does not start."""

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from tests.sandbox.conftest import Sandbox, StartSandbox, wait_until


async def test_a_kill_forgets_nothing_that_was_acknowledged(
    sandbox_mortal: tuple[Sandbox, StartSandbox],
) -> None:
    sandbox, start = sandbox_mortal
    sandbox.hooks.status = 503
    async with start() as child:
        intent = await sandbox.authorized(1000, key="a", metadata={"order": "1"})
        await sandbox.send_mail("ann@example.com")
        await sandbox.faults(next=[{"operation": "refund", "fault": "error"}])
        await sandbox.intents.capture_async(intent.id, {"amount_to_capture": 600}, {"idempotency_key": "b"})
        child.kill()
        child.wait()
    assert sandbox.hooks.events == []
    sandbox.hooks.status = 200

    async with start():
        # At least once: what was on its way when the process died may arrive as well.
        await wait_until(lambda: len({event.id for event in sandbox.hooks.events}) == 4)
        assert set(sandbox.hooks.types()) == {
            "payment_intent.created",
            "payment_intent.amount_capturable_updated",
            "charge.captured",
            "payment_intent.succeeded",
        }
        again = await sandbox.intents.capture_async(intent.id, {"amount_to_capture": 600}, {"idempotency_key": "b"})
        assert (again.status, again.amount_received) == ("succeeded", 600)
        assert again.last_response.headers["Idempotent-Replayed"] == "true"
        assert await sandbox.ledger(intent.id) == [
            ("authorize", 1000, "usd", "a"),
            ("capture", 600, "usd", "b"),
            ("void", 400, "usd", "b"),
        ]
        assert [mail["to"] for mail in (await sandbox.get("/mail"))["items"]] == [["ann@example.com"]]
        assert len((await sandbox.get("/faults"))["payments"]["next"]) == 1


async def test_a_polite_stop_is_clean_and_answered_webhooks_are_not_sent_again(
    sandbox_mortal: tuple[Sandbox, StartSandbox],
) -> None:
    sandbox, start = sandbox_mortal
    async with start() as child:
        await sandbox.authorized()
        await wait_until(lambda: len(sandbox.hooks.bodies) == 2)
        child.terminate()
        assert child.wait(5) == 0
    async with start():
        await sandbox.intents.create_async({"amount": 5, "currency": "usd"})
        await wait_until(lambda: len(sandbox.hooks.bodies) >= 3)
        assert len(sandbox.hooks.bodies) == 3


async def test_the_ledger_cannot_be_rewritten(sandbox_mortal: tuple[Sandbox, StartSandbox], tmp_path: Path) -> None:
    sandbox, start = sandbox_mortal
    async with start():
        intent = await sandbox.authorized()
    with sqlite3.connect(tmp_path / "sandbox.sqlite3") as connection:
        for statement in ("UPDATE ledger SET amount = 1", "DELETE FROM ledger"):
            with pytest.raises(sqlite3.IntegrityError, match="append-only"):
                connection.execute(statement)
        assert connection.execute("SELECT payment_intent, amount FROM ledger").fetchall() == [(intent.id, 5000)]
    connection.close()


async def test_everything_can_be_forgotten_at_once(sandbox_clean: Sandbox) -> None:
    await sandbox_clean.authorized(key="k")
    await sandbox_clean.send_mail("ann@example.com")
    await sandbox_clean.faults(latency_ms=1)
    async with sandbox_clean.http.delete(f"{sandbox_clean.url}/state") as answer:
        assert answer.status == 204
    for place in ("/ledger", "/mail"):
        assert await sandbox_clean.get(place) == {"items": []}
    assert (await sandbox_clean.get("/v1/events"))["data"] == []
    assert (await sandbox_clean.get("/faults"))["payments"]["latency_ms"] == 0
    assert (await sandbox_clean.authorized(amount=1, key="k")).amount == 1


async def test_there_is_a_page_for_people_and_an_answer_for_probes(sandbox_clean: Sandbox) -> None:
    assert await sandbox_clean.get("/health") == {"status": "ok"}
    async with sandbox_clean.http.get(f"{sandbox_clean.url}/") as answer:
        assert (answer.status, answer.content_type) == (200, "text/html")
    async with sandbox_clean.http.get(f"{sandbox_clean.url}/nowhere") as answer:
        assert (answer.status, answer.content_type) == (404, "application/problem+json")
    async with sandbox_clean.http.post(f"{sandbox_clean.url}/health") as answer:
        assert answer.status == 405


def test_it_does_not_start_in_production() -> None:
    started = subprocess.run(
        [sys.executable, "-m", "sandbox"],
        env={**os.environ, "APP_ENV": "production"},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert started.returncode == 2
    assert "does not start with APP_ENV=production" in started.stderr
