"""A small world of parcels: whoever follows one is told when it moves."""

from typing import Any, Literal

import msgspec
from msgspec import Struct

from sandbox import clock
from sandbox.objects import new_id
from sandbox.store import Store
from sandbox.webhooks import Outbox

Status = Literal[
    "unknown",
    "pre_transit",
    "in_transit",
    "out_for_delivery",
    "available_for_pickup",
    "delivered",
    "return_to_sender",
    "failure",
    "cancelled",
    "error",
]
Json = dict[str, Any]


class Move(Struct, forbid_unknown_fields=True):
    """What the carrier notices."""

    status: Status
    at: str | None = None
    """When; without it, now."""


class Parcels:
    def __init__(self, store: Store, outbox: Outbox) -> None:
        self._store = store
        self._outbox = outbox

    def follow(self, carrier: str, number: str) -> Json:
        """The one tracker of this carrier and number, made at the first time; part of the caller's transaction."""
        known = [tracker for tracker in self.followed(number) if tracker["carrier"] == carrier]
        if known:
            return known[0]
        now = clock.timestamp()
        tracker: Json = {
            "id": new_id("trk"),
            "object": "Tracker",
            "mode": "test",
            "tracking_code": number,
            "status": "unknown",
            "status_detail": "unknown",
            "created_at": now,
            "updated_at": now,
            "signed_by": None,
            "weight": None,
            "est_delivery_date": None,
            "shipment_id": None,
            "carrier": carrier,
            "tracking_details": [],
            "fees": [],
        }
        self._put(tracker)
        self._tell("tracker.created", tracker, {})
        return tracker

    def followed(self, number: str) -> list[Json]:
        rows = self._store.all("SELECT body FROM trackers WHERE tracking_code = ? ORDER BY carrier", number)
        return [msgspec.json.decode(body) for (body,) in rows]

    def move(self, number: str, move: Move) -> None:
        """The shop is told of it; part of the caller's transaction."""
        for tracker in self.followed(number):
            before = tracker["status"]
            detail = {
                "object": "TrackingDetail",
                "message": move.status.replace("_", " ").capitalize(),
                "status": move.status,
                "datetime": move.at or clock.timestamp(),
                "source": tracker["carrier"],
            }
            details = [*tracker["tracking_details"], detail]
            moved = {
                **tracker,
                "status": move.status,
                "updated_at": clock.timestamp(),
                # What a carrier tells late is put where it belongs by its time.
                "tracking_details": sorted(details, key=lambda told: str(told["datetime"])),
            }
            self._put(moved)
            self._tell("tracker.updated", moved, {"status": before})

    def _put(self, tracker: Json) -> None:
        self._store.write(
            "INSERT OR REPLACE INTO trackers (id, tracking_code, carrier, body) VALUES (?, ?, ?, ?)",
            tracker["id"],
            tracker["tracking_code"],
            tracker["carrier"],
            msgspec.json.encode(tracker),
        )

    def _tell(self, what: str, tracker: Json, before: Json) -> None:
        now = clock.timestamp()
        event = {
            "id": new_id("evt"),
            "object": "Event",
            "mode": "test",
            "description": what,
            "previous_attributes": before,
            "result": tracker,
            "status": "pending",
            "created_at": now,
            "updated_at": now,
        }
        self._outbox.tell(str(event["id"]), msgspec.json.encode(event))
