"""Carts that nobody comes back to."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class TidyCarts:
    """How long after its last change a cart is kept."""

    empty_seconds: float
    """Also one whose things were put into another one."""
    guest_seconds: float
    customer_seconds: float


@dataclass(frozen=True, kw_only=True)
class CartsTidied:
    carts: int
