"""Stripe's way of saying no."""

from typing import Any

import msgspec


class StripeError(Exception):
    """An answer that refuses; nothing has changed when it is raised."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        type: str = "invalid_request_error",  # noqa: A002  Stripe's word
        code: str | None = None,
        param: str | None = None,
        **more: Any,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.error = {"type": type, "message": message, **more}
        if code:
            self.error["code"] = code
            self.error["doc_url"] = f"https://stripe.com/docs/error-codes/{code.replace('_', '-')}"
        if param:
            self.error["param"] = param

    @property
    def body(self) -> bytes:
        return msgspec.json.encode({"error": self.error})


def no_such(what: str, object_id: str, *, param: str = "id", status: int = 400) -> StripeError:
    """An unknown id is a 404 when it is the address of the request, a 400 when it is one of its values."""
    return StripeError(status, f"No such {what}: '{object_id}'", code="resource_missing", param=param)


def something_broke() -> StripeError:
    message = "An unknown error occurred. Retry with the same idempotency key."
    return StripeError(500, message, type="api_error")
