"""A customer who shops over HTTP, as any client would."""

from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

import httpx

ADDRESS = {
    "name": "Ada Testcase",
    "line1": "12 Orchard Lane",
    "city": "Springfield",
    "region": "IL",
    "postal_code": "62701",
    "country": "US",
}


@dataclass
class Shopper:
    """Guest unless ``headers`` say otherwise."""

    http: httpx.AsyncClient
    email: str = "ada.testcase@example.com"
    headers: dict[str, str] = field(default_factory=dict)

    async def send(self, method: str, path: str, **more: Any) -> httpx.Response:
        headers = {**self.headers, **more.pop("headers", {})}
        return await self.http.request(method, path, headers=headers, **more)

    async def a_cart(self, *contents: tuple[UUID, int], currency: str = "USD", shipping: str = "standard") -> str:
        """A cart with these variants, complete enough to be ordered."""
        cart = await self._done("POST", "/v1/carts", {"currency": currency})
        path = f"/v1/carts/{cart['id']}"
        for variant_id, quantity in contents:
            await self._done("POST", f"{path}/items", {"variant_id": str(variant_id), "quantity": quantity})
        await self._done("PUT", f"{path}/email", {"email": self.email})
        await self._done("PUT", f"{path}/shipping-address", ADDRESS)
        await self._done("PUT", f"{path}/shipping-method", {"code": shipping})
        return str(cart["id"])

    async def check_out(
        self, cart_id: str, *, card: Any = "pm_card_visa", key: str | None = None, **more: Any
    ) -> httpx.Response:
        return await self.send(
            "POST",
            "/v1/checkouts",
            json={"cart_id": cart_id, "payment_method": card, **more},
            headers={"Idempotency-Key": key or str(uuid4())},
        )

    async def order(self, order_id: str, cart_id: str | None = None) -> dict[str, Any]:
        order: dict[str, Any] = await self._done(
            "GET", f"/v1/orders/{order_id}", params={"cart": cart_id} if cart_id else None
        )
        return order

    async def _done(self, method: str, path: str, json: Any = None, params: Any = None) -> Any:
        response = await self.send(method, path, json=json, params=params)
        assert response.is_success, response.text
        return response.json()
