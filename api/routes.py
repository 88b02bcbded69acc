"""All controllers of the API."""

from typing import Any

from api.carts import CartController
from api.checkouts import check_out
from api.operators import OperatorController
from api.orders import OrderController
from api.webhooks import stripe_webhook

HANDLERS: list[Any] = [
    CartController,
    check_out,
    OrderController,
    OperatorController,
    stripe_webhook,
]
