"""EasyPost's messages: signed, and read for what the shop acts on."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import SecretStr

from domain.tracking import CarrierNews, TrackingStatus
from providers.carriers import EasyPostMessages, MessageForged
from sandbox.webhooks import carrier_signature

EASYPOST = EasyPostMessages(SecretStr("a secret"))


def a_message(**of_tracker: Any) -> dict[str, Any]:
    tracker = {
        "id": "trk_1",
        "object": "Tracker",
        "carrier": "UPS",
        "tracking_code": "1Z999",
        "status": "out_for_delivery",
        "updated_at": "2026-05-04T12:00:00Z",
        "tracking_details": [{"datetime": "2026-05-04T08:00:00Z"}, {"datetime": "2026-05-04T07:00:00Z"}],
        **of_tracker,
    }
    return {"id": "evt_1", "object": "Event", "description": "tracker.updated", "result": tracker}


def read(message: Any, *, signature: str | None = None) -> CarrierNews | None:
    body = json.dumps(message).encode()
    signed = carrier_signature(body, b"a secret") if signature is None else signature
    return EASYPOST.read_webhook(body, {"x-hmac-signature": signed})


def test_a_signed_message_says_where_a_parcel_is_and_when_its_carrier_saw_it() -> None:
    assert read(a_message()) == CarrierNews(
        message_id="evt_1",
        carrier="UPS",
        tracking_number="1Z999",
        status=TrackingStatus.OUT_FOR_DELIVERY,
        at=datetime(2026, 5, 4, 8, tzinfo=UTC),
    )


def test_what_the_shop_has_no_word_for_is_no_status() -> None:
    news = read(a_message(status="unknown", tracking_details=[]))

    assert news is not None
    assert (news.status, news.at) == (None, datetime(2026, 5, 4, 12, tzinfo=UTC))


def test_a_message_about_something_else_is_none() -> None:
    assert read({**a_message(), "description": "batch.created"}) is None


@pytest.mark.parametrize(
    "signature",
    ["", "hmac-sha256-hex=00", "hmac-sha256-hex=é", carrier_signature(json.dumps(a_message()).encode(), b"other")],
)
def test_a_message_that_somebody_else_has_signed_is_forged(signature: str) -> None:
    with pytest.raises(MessageForged):
        read(a_message(), signature=signature)


@pytest.mark.parametrize(
    "message",
    [
        [],
        {"id": "evt_1"},
        a_message(tracking_code=None),
        a_message(tracking_code="x" * 101),
        a_message(tracking_code="\0"),
        a_message(tracking_details=[{"datetime": "yesterday"}]),
        a_message(status=["delivered"]),
    ],
    ids=str,
)
def test_a_message_of_another_form_is_none_of_theirs(message: Any) -> None:
    with pytest.raises(MessageForged):
        read(message)
