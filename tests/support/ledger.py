"""What really happened to money: the sandbox's ledger, which the shop cannot write to."""

from typing import Any

import httpx


async def moved(sandbox: httpx.AsyncClient, order: dict[str, Any]) -> list[tuple[str, int]]:
    """Every movement of this order's money, oldest first, in minor units."""
    return await moved_by(sandbox, order["payment"]["provider_reference"])


async def moved_by(sandbox: httpx.AsyncClient, intent: str) -> list[tuple[str, int]]:
    answer = await sandbox.get("/ledger", params={"payment_intent": intent})
    return [(row["kind"], row["amount"]) for row in answer.json()["items"]]


def held(movements: list[tuple[str, int]]) -> int:
    """What the card still holds for the shop."""
    return _sum(movements, "authorize") - _sum(movements, "capture") - _sum(movements, "void")


def kept(movements: list[tuple[str, int]]) -> int:
    """What the shop took and did not give back."""
    return _sum(movements, "capture") - _sum(movements, "refund")


def _sum(movements: list[tuple[str, int]], kind: str) -> int:
    return sum(amount for moved, amount in movements if moved == kind)
