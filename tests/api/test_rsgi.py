"""What the server's own protocol says of a connection, in the words of everything else."""

import time
from dataclasses import dataclass, field

import pytest
from litestar import Response

from api.app import create_app
from api.catalog_cache import Kept
from api.hot_answers import HotAnswers, ReadyAnswer
from api.leaving import Leaving
from api.rsgi import host_of, peer_of
from domain.languages import Languages
from domain.limits import EXACT, Quota
from runtime.settings import Settings


@pytest.mark.parametrize(
    ("told", "peer"),
    [
        ("203.0.113.9:40000", ("203.0.113.9", 40000)),
        ("[2001:db8::1]:443", ("2001:db8::1", 443)),
        ("[::ffff:203.0.113.9]:1", ("::ffff:203.0.113.9", 1)),
    ],
)
def test_an_address_is_a_host_and_a_port(told: str, peer: tuple[str, int]) -> None:
    assert peer_of(told) == peer
    assert host_of(told) == peer[0]


@dataclass
class Question:
    """As Granian asks it, and takes the answer."""

    client: str
    method: str = "GET"
    path: str = "/v1/products/mug"
    query_string: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    answers: list[tuple[int, bytes]] = field(default_factory=list)

    def response_bytes(self, status: int, _headers: list[tuple[str, str]], body: bytes) -> None:
        self.answers.append((status, body))


async def test_ready_answers_are_limited_for_each_household_whatever_its_addresses_look_like(
    settings: Settings,
) -> None:
    app = create_app(settings)
    doorway = app.state.doorway
    doorway.limiter.hold_to({**EXACT, "address.catalogue": Quota(1, 60)})
    hot = HotAnswers(app, doorway, app.state.browsers, Leaving(0), languages=Languages("en"), most_bytes=1_000_000)
    answer = Response(b"{}", headers={"ETag": '"1"'})
    part = Kept(b"{}", time.monotonic() + 60, is_fresh=True)
    hot._ready.put(" /v1/products/mug", ReadyAnswer(answer, "/v1/products/{product}", [part]))

    for client in ("203.0.113.9:1", "[2001:db8:1:1::1]:1", "[2001:db8:1:2::1]:1"):
        question = Question(client)
        await hot.__rsgi__(question, question)  # type: ignore[arg-type]
        assert question.answers == [(200, b"{}")], client
