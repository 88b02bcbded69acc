"""Events on their way to an endpoint: signed, into the internet, and only as far as was checked."""

import json
import os
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ParentBased
from opentelemetry.trace import SpanKind, StatusCode
from prometheus_client import REGISTRY
from standardwebhooks import Webhook, WebhookVerificationError

from domain.webhooks import Letter, new_secret
from runtime.sealing import Seal, SealingKeyError
from runtime.tracing import Discreet
from runtime.webhooks import Outcome, Postman, about
from tests.runtime.test_tracing import Kept
from tests.support.receiver import Receiver, a_receiver

SEAL = Seal([os.urandom(32)])
ENDPOINT = UUID("0190a000-0000-7000-8000-000000000000")
BODY = '{"id":"1","data":{"städtisch":"ü"}}'.encode()


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with a_receiver() as opened:
        yield opened


def letter(url: str, *secrets: str, **otherwise: Any) -> Letter:
    sealed = tuple(SEAL.close(secret.encode(), about(ENDPOINT)) for secret in secrets or (new_secret(),))
    facts: dict[str, Any] = {"delivery_id": uuid4(), "endpoint_id": ENDPOINT, "is_ping": False, "event_id": uuid4()}
    return Letter(url=url, sealed_secrets=sealed, **{"body": BODY, **facts, **otherwise})


def postman(**otherwise: Any) -> Postman:
    return Postman(SEAL, **{"seconds": 5, "is_internet": False, **otherwise})


async def test_what_is_sent_is_verified_by_the_standards_own_library(receiver: Receiver) -> None:
    secret = new_secret()
    sent = letter(receiver.url, secret)

    answer = await postman().send(sent)

    [told] = receiver.told
    assert (answer.status, answer.is_taken, answer.said, answer.problem) == (200, True, "thank you", None)
    assert told.body == BODY
    assert told.id == str(sent.event_id)
    assert told.headers["content-type"] == "application/cloudevents+json"
    assert Webhook(secret).verify(told.body, told.headers)["id"] == "1"
    for forged in (told.body.replace(b"1", b"2"), b"{}"):
        with pytest.raises(WebhookVerificationError):
            Webhook(secret).verify(forged, told.headers)


async def test_while_a_secret_is_rotated_both_sign(receiver: Receiver) -> None:
    new, old, stranger = new_secret(), new_secret(), new_secret()

    await postman().send(letter(receiver.url, new, old))

    [told] = receiver.told
    assert len(told.headers["webhook-signature"].split(" ")) == 2
    for secret in (new, old):
        Webhook(secret).verify(told.body, told.headers)
    with pytest.raises(WebhookVerificationError, match="No matching signature"):
        Webhook(stranger).verify(told.body, told.headers)


async def test_a_secret_in_the_row_of_another_endpoint_signs_nothing(receiver: Receiver) -> None:
    with pytest.raises(SealingKeyError):
        await postman().send(letter(receiver.url, endpoint_id=uuid4()))
    assert receiver.told == []


async def test_a_redirect_is_not_followed(receiver: Receiver) -> None:
    async with a_receiver(answers=lambda _: 307, headers={"Location": receiver.url}) as away:
        answer = await postman().send(letter(away.url))

    assert (answer.status, answer.is_taken) == (307, False)
    assert receiver.told == []


async def test_nothing_is_sent_into_our_own_networks(receiver: Receiver) -> None:
    careful = postman(is_internet=True)

    plain = await careful.send(letter(receiver.url))
    own = await careful.send(letter(receiver.url.replace("http://", "https://")))

    assert plain.problem == "Only https URLs with a host are called."
    assert own.problem == "This name does not lead into the internet."
    assert (plain.status, own.status, receiver.told) == (None, None, [])


class Rebinding:
    """A name that means the receiver's address, and another one whenever it is asked again."""

    def __init__(self) -> None:
        self.asked = 0

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked += 1
        return ["127.0.0.1"] if self.asked == 1 else ["127.0.0.2"]


async def test_the_connection_goes_to_the_address_that_was_checked_whatever_the_name_means_next(
    receiver: Receiver,
) -> None:
    names = Rebinding()

    answer = await postman(resolve=names).send(letter(receiver.url.replace("127.0.0.1", "partner.example")))

    assert answer.is_taken
    assert (len(receiver.told), names.asked) == (1, 1)
    assert receiver.told[0].headers["host"].startswith("partner.example:")


async def test_of_an_answer_only_the_beginning_is_read_and_kept(receiver: Receiver) -> None:
    receiver.says = "ü\x00" * 100_000

    answer = await postman().send(letter(receiver.url))

    assert answer.is_taken
    assert 0 < len(answer.said) <= 1000
    assert "\x00" not in answer.said


@pytest.mark.parametrize(
    ("header", "wish"),
    [("120", timedelta(minutes=2)), ("", None), ("-1", None), ("soon", None), ("9" * 40, None), ("٣", None)],
)
async def test_an_endpoint_may_say_for_how_long_it_is_busy(
    receiver: Receiver, header: str, wish: timedelta | None
) -> None:
    receiver.answers, receiver.headers = (lambda _: 503), {"Retry-After": header}

    answer = await postman().send(letter(receiver.url))

    assert (answer.status, answer.wishes_pause) == (503, wish)


async def test_silence_and_a_closed_door_are_answers(receiver: Receiver) -> None:
    receiver.speaks.clear()
    silent = await postman(seconds=0.2).send(letter(receiver.url))
    closed = await postman().send(letter("http://127.0.0.1:1/hook"))

    assert (silent.status, silent.problem) == (None, "There was no answer in 0.2 seconds.")
    assert (closed.status, closed.problem) == (None, "The connection failed: ClientConnectorError.")


TRACE, EVENT_ID = f"00-{'ab' * 16}-{'cd' * 8}-01", UUID("0190a000-0000-7000-8000-000000000001")
PLANTED = "zanzibar"


@pytest.mark.parametrize(
    ("seconds", "to", "status", "outcome"),
    [
        (5, "", 204, "taken"),
        (5, "", 410, "refused"),
        (5, "", 307, "refused"),
        (5, "", 503, "failed"),
        (0, "", 200, "silent"),
        (5, "http://127.0.0.1:1/hook", 200, "unreachable"),
        (5, "gopher://127.0.0.1/hook", 200, "forbidden"),
    ],
)
async def test_each_try_is_counted_and_told_in_the_trace_of_its_event_without_where_it_went_and_what_it_said(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch, seconds: float, to: str, status: int, outcome: str
) -> None:
    kept, provider = Kept(), TracerProvider(sampler=ParentBased(ALWAYS_OFF), shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(Discreet(kept)))
    monkeypatch.setattr("runtime.webhooks.tracer", provider.get_tracer("test"))
    receiver.answers, receiver.says = (lambda _: status), PLANTED
    before = {each: attempts(each) for each in Outcome}
    body = {"id": "1", "type": "order.confirmed", "traceparent": TRACE, "data": PLANTED}
    sent = letter(f"{to or receiver.url}?key={PLANTED}", body=json.dumps(body).encode(), event_id=EVENT_ID)

    answer = await postman(seconds=seconds).send(sent)

    assert {each for each in Outcome if attempts(each) != before[each]} == {outcome}
    assert attempts(outcome) == before[Outcome(outcome)] + 1
    [span] = kept.spans
    assert span.parent is not None
    assert (f"{span.parent.trace_id:032x}", f"{span.parent.span_id:016x}") == ("ab" * 16, "cd" * 8)
    assert (span.name, span.kind) == ("webhook order.confirmed", SpanKind.CLIENT)
    assert (span.status.status_code is StatusCode.ERROR) is not answer.is_taken
    assert dict(span.attributes or {}) == {
        "messaging.operation.name": "send",
        "messaging.message.id": str(EVENT_ID),
        "cloudevents.event_type": "order.confirmed",
        "http.request.method": "POST",
        **({"http.response.status_code": answer.status} if answer.status else {}),
        **({} if answer.is_taken else {"error.type": outcome}),
    }
    assert PLANTED not in span.to_json()


async def test_an_event_that_nobody_traces_is_sent_without_a_span(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept, provider = Kept(), TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(kept))
    monkeypatch.setattr("runtime.webhooks.tracer", provider.get_tracer("test"))

    assert (await postman().send(letter(receiver.url))).is_taken
    assert kept.spans == []


def attempts(outcome: str) -> float:
    return REGISTRY.get_sample_value("sutler_webhook_attempts_total", {"outcome": outcome}) or 0.0
