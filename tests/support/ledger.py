"""What really happened to money: the sandbox's ledger, which the shop cannot write to."""

from typing import Any

import httpx


async def moved(sandbox: httpx.AsyncClient, order: dict[str, Any]) -> list[tuple[str, int]]:
    """Every movement of this order's money, oldest first, in minor units."""
    return await moved_by(sandbox, order["payment"]["provider_reference"])


async def late_money(sandbox: httpx.AsyncClient, payment_id: object, *, is_taken: bool = False) -> str:
    """A second payment with our own id on it, which nobody in the shop has asked for; what the provider calls it."""
    made = await sandbox.post(
        "/v1/payment_intents",
        data={
            "amount": "1499",
            "currency": "usd",
            "capture_method": "automatic" if is_taken else "manual",
            "confirm": "true",
            "payment_method": "pm_card_visa",
            "payment_method_types[]": "card",
            "metadata[payment_id]": str(payment_id),
        },
        headers={"Authorization": "Bearer sk_test_sutler"},
    )
    made.raise_for_status()
    return str(made.json()["id"])


async def moved_by(sandbox: httpx.AsyncClient, intent: str) -> list[tuple[str, int]]:
    answer = await sandbox.get("/ledger", params={"payment_intent": intent})
    return [(row["kind"], row["amount"]) for row in answer.json()["items"]]


def held(movements: list[tuple[str, int]]) -> int:
    """What the card still holds for the shop."""
    return _sum(movements, "authorize") - _sum(movements, "capture") - _sum(movements, "void")


def kept(movements: list[tuple[str, int]]) -> int:
    """What the shop took and did not give back."""
    return _sum(movements, "capture") - _sum(movements, "refund")


def disputed(movements: list[tuple[str, int]]) -> int:
    """What the customer's bank has taken back, and has not lost again."""
    return _sum(movements, "dispute") - _sum(movements, "dispute_reversal")


def _sum(movements: list[tuple[str, int]], kind: str) -> int:
    return sum(amount for moved, amount in movements if moved == kind)
