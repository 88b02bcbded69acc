"""Whether a password was stolen is asked without saying which one, and nobody waits for the answer for long."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import httpx
import pytest
from aiohttp import web

from providers.stolen_passwords import ListSilent, PwnedPasswords
from runtime.outgoing import Partner
from runtime.passwords import NOT_LOOKED_UP, Passwords
from runtime.resources import list_of_stolen_passwords
from runtime.settings import Auth, Settings
from runtime.strength import ON_A_LIST
from tests.support.processes import free_port

STOLEN = "correct horse battery staple"
FINE = "nobody has this one 4711"


def sha1(password: str) -> str:
    return hashlib.sha1(password.encode(), usedforsecurity=False).hexdigest().upper()


class Service:
    """Answers all that is asked with the same, after a while."""

    def __init__(self, text: str = "", status: int = 200, *, seconds: float = 0) -> None:
        self.asked: list[tuple[str, Mapping[str, str]]] = []
        self._text, self._status, self._seconds = text, status, seconds

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        self.asked.append((request.raw_path, request.headers))
        await asyncio.sleep(self._seconds)
        return web.Response(text=self._text, status=self._status, headers={"Location": "/range/elsewhere"})

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[str]:
        port = free_port()
        server = web.Server(self.answer, access_log=None)
        listener = await asyncio.get_running_loop().create_server(server, "127.0.0.1", port)
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            listener.close()
            await server.shutdown(1)


def asking(url: str, *, seconds: float = 5, is_internet: bool = False) -> PwnedPasswords:
    return PwnedPasswords(Partner(url=url, seconds=seconds, is_internet=is_internet).ask)


async def test_five_letters_of_the_hash_leave_the_house_and_no_more() -> None:
    service = Service(f"{sha1(STOLEN)[5:]}:17\r\n{'A' * 35}:3")

    async with service.serving() as url:
        assert await asking(url).has(STOLEN)

    [(path, headers)] = service.asked
    assert path == f"/range/{sha1(STOLEN)[:5]}"
    assert headers["Add-Padding"] == "true"
    said = f"{path} {dict(headers)}".upper()
    assert sha1(STOLEN)[:6] not in said
    assert STOLEN.upper() not in said


@pytest.mark.parametrize("text", ["", f"{'A' * 35}:3", f"{sha1(FINE)[5:]}:0", "<html>nothing: of: the kind</html>"])
async def test_a_password_that_is_not_on_the_list_is_not_stolen(text: str) -> None:
    async with Service(text).serving() as url:
        assert not await asking(url).has(FINE)


@pytest.mark.parametrize(
    "service",
    [
        Service(status=500),
        Service(status=429),
        Service(status=302),
        Service("x" * 1_000_001),
        Service(f"{sha1(STOLEN)[5:]}:17", seconds=30),
    ],
    ids=["broken", "busy", "elsewhere", "endless", "slow"],
)
async def test_an_answer_that_is_none_tells_nothing(service: Service) -> None:
    async with service.serving() as url:
        with pytest.raises(ListSilent):
            await asking(url, seconds=0.3).has(STOLEN)
    assert len(service.asked) == 1


async def test_in_production_the_list_is_asked_in_the_internet_only() -> None:
    service = Service(f"{sha1(STOLEN)[5:]}:17")
    async with service.serving() as url:
        for inside in (url, url.replace("http:", "https:")):
            with pytest.raises(ListSilent):
                await asking(inside, is_internet=True).has(STOLEN)
    assert service.asked == []


async def test_while_nobody_answers_a_password_is_judged_by_how_hard_it_is_to_guess_and_that_is_counted() -> None:
    nobody = list_of_stolen_passwords(
        Settings(auth=Auth(stolen_passwords_url=f"http://127.0.0.1:{free_port()}", stolen_passwords_seconds=5))
    )
    passwords, before = Passwords(nobody), NOT_LOOKED_UP._value.get()

    assert [await passwords.why_weak(STOLEN, []) for _ in range(5)] == [None] * 5
    assert await passwords.why_weak("iloveyou", []) is not None

    assert NOT_LOOKED_UP._value.get() - before == 5


async def test_a_list_that_does_not_answer_is_left_alone_for_a_while() -> None:
    service = Service(status=500)
    async with service.serving() as url:
        stolen = list_of_stolen_passwords(Settings(auth=Auth(stolen_passwords_url=url, stolen_passwords_seconds=5)))
        for _ in range(6):
            with pytest.raises(ListSilent):
                await stolen.has(STOLEN)
    assert len(service.asked) == 3


async def test_whoever_asks_nobody_takes_what_is_hard_to_guess() -> None:
    assert await Passwords().why_weak(STOLEN, []) is None


async def test_the_sandbox_answers_as_have_i_been_pwned_does(sandbox: httpx.AsyncClient) -> None:
    stolen = asking(str(sandbox.base_url))
    assert [await stolen.has(password) for password in (STOLEN, "123456", "Tr0ub4dor&3", FINE)] == [
        True,
        True,
        True,
        False,
    ]
    assert await Passwords(stolen).why_weak(STOLEN, []) == ON_A_LIST

    bare = (await sandbox.get(f"/range/{sha1(STOLEN)[:5]}")).text.split("\r\n")
    padded = (await sandbox.get(f"/range/{sha1(STOLEN)[:5]}", headers={"Add-Padding": "true"})).text.split("\r\n")

    assert bare == [f"{sha1(STOLEN)[5:]}:1000000"]
    assert bare[0] in padded
    assert len(padded) == 800
    assert {len(line.partition(":")[0]) for line in padded} == {35}
    assert (await sandbox.get("/range/nonsense")).status_code == 400
