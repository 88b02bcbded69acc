"""EasyPost, which watches parcels of some hundred carriers and tells of each in the same words."""

import hashlib
import hmac
import json
import unicodedata
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from pydantic import SecretStr

from domain.tracking import CarrierNews, TrackingStatus
from providers.carriers.base import MessageForged

STATUSES = {
    "pre_transit": TrackingStatus.ANNOUNCED,
    "in_transit": TrackingStatus.IN_TRANSIT,
    "out_for_delivery": TrackingStatus.OUT_FOR_DELIVERY,
    "available_for_pickup": TrackingStatus.AWAITS_PICKUP,
    "delivered": TrackingStatus.DELIVERED,
    "return_to_sender": TrackingStatus.RETURNING,
    "failure": TrackingStatus.FAILED,
    "error": TrackingStatus.FAILED,
}
ABOUT_PARCELS = ("tracker.created", "tracker.updated")
LONGEST = 100
"""Of an id or a number; longer ones are not EasyPost's."""


class EasyPostMessages:
    name = "easypost"

    def __init__(self, secret: SecretStr) -> None:
        self._secret = unicodedata.normalize("NFKD", secret.get_secret_value()).encode()

    def read_webhook(self, body: bytes, headers: Mapping[str, str]) -> CarrierNews | None:
        if not hmac.compare_digest(self.signature(body), headers.get("x-hmac-signature", "").encode()):
            raise MessageForged("not signed by EasyPost")
        try:
            event: dict[str, Any] = json.loads(body)
            if event["description"] not in ABOUT_PARCELS:
                return None
            tracker: dict[str, Any] = event["result"]
            return CarrierNews(
                message_id=_short(event["id"]),
                carrier=_short(tracker["carrier"]),
                tracking_number=_short(tracker["tracking_code"]),
                status=STATUSES.get(tracker["status"]),
                at=_latest(tracker),
            )
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise MessageForged("signed, and not a message of EasyPost's form") from error

    def signature(self, body: bytes) -> bytes:
        return b"hmac-sha256-hex=" + hmac.new(self._secret, body, hashlib.sha256).hexdigest().encode()


def _latest(tracker: Mapping[str, Any]) -> datetime:
    """When the carrier last saw the parcel, which is older than when EasyPost heard of it."""
    seen = [_time(detail["datetime"]) for detail in tracker.get("tracking_details") or []]
    return max(seen) if seen else _time(tracker["updated_at"])


def _time(written: str) -> datetime:
    time = datetime.fromisoformat(written)
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def _short(value: Any) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= LONGEST or "\0" in value:
        raise ValueError("not an id or a number of EasyPost's")
    value.encode()
    return value
