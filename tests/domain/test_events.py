"""The envelope of an event, and the order that events make."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from domain.events import EventMissing, Published, as_told, envelope, rebuilt

ORDER = "0190d2c4-0000-7000-8000-000000000001"
LINE = "0190d2c4-0000-7000-8000-000000000002"
EVENT = UUID("0190d2c4-0000-7000-8000-000000000003")
AT = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
TEN = {"amount": "10.00", "currency": "USD"}


def published(**otherwise: Any) -> Published:
    facts: dict[str, Any] = {
        "position": 7,
        "id": EVENT,
        "type": "order.confirmed",
        "version": 1,
        "key": ORDER,
        "data": {"order_id": ORDER, "sequence": 2, "total": TEN},
        "at": AT,
    }
    return Published(**{**facts, **otherwise})


def test_an_event_is_told_as_cloudevents_has_it() -> None:
    assert envelope(published(), "https://shop.example") == {
        "specversion": "1.0",
        "id": str(EVENT),
        "source": "https://shop.example",
        "type": "order.confirmed",
        "subject": f"orders/{ORDER}",
        "time": "2026-03-04T05:06:07Z",
        "datacontenttype": "application/json",
        "dataschema": "https://shop.example/asyncapi.json#/components/schemas/order.confirmed.v1",
        "partitionkey": ORDER,
        "sequence": "2",
        "sequencetype": "Integer",
        "data": {"order_id": ORDER, "sequence": 2, "total": TEN},
    }


def test_what_is_no_orders_has_no_sequence_and_what_has_no_version_no_schema() -> None:
    stock = envelope(published(type="stock.low", key="v1", data={"available": 3}), "https://shop.example")
    money = envelope(published(type="payment.late_money_returned", key="pi_1", data={}), "https://shop.example")
    old = envelope(published(version=0), "https://shop.example")

    assert (stock["subject"], "sequence" in stock) == ("variants/v1", False)
    assert money["subject"] == "payments/pi_1"
    assert "dataschema" not in old


def test_minor_units_are_told_as_amounts_and_times_in_utc() -> None:
    facts = {"total": 1999, "currency": "USD", "units": 2, "at": AT, "how": "voided"}

    assert as_told(facts) == {
        "total": {"amount": "19.99", "currency": "USD"},
        "units": 2,
        "at": "2026-03-04T05:06:07Z",
        "how": "voided",
    }
    assert as_told({"amount": 5, "currency": "JPY"}) == {"amount": {"amount": "5", "currency": "JPY"}}


def told(sequence: int, status: str, **more: Any) -> dict[str, Any]:
    return {"order_id": ORDER, "sequence": sequence, "order": {"status": status}, **more}


def placed() -> tuple[str, dict[str, Any]]:
    amounts = dict.fromkeys(("subtotal", "discount", "shipping", "tax", "total"), TEN)
    item = {"order_item_id": LINE, "variant_id": "v1", "sku": "CUP", "quantity": 3, "unit_price": TEN}
    return "order.placed", told(1, "pending", number="S-1", items=[item], **amounts)


CONFIRMED = ("order.confirmed", told(2, "confirmed", total=TEN))
CANCELLED = ("order.units_cancelled", told(3, "confirmed", items=[{"order_item_id": LINE, "quantity": 2}]))


def test_an_order_is_rebuilt_from_its_events_however_often_they_come() -> None:
    order = rebuilt([placed(), CONFIRMED, placed(), CONFIRMED, CANCELLED, CANCELLED])

    assert (order.number, order.sequence, order.standing) == ("S-1", 3, {"status": "confirmed"})
    assert (order.items[LINE].quantity, order.items[LINE].cancelled) == (3, 2)
    assert order.amounts["total"] == TEN


@pytest.mark.parametrize("heard", [[], [CONFIRMED], [placed(), CANCELLED]], ids=["none", "no beginning", "a gap"])
def test_an_order_is_not_rebuilt_where_an_event_is_missing(heard: list[Any]) -> None:
    with pytest.raises(EventMissing):
        rebuilt(heard)
