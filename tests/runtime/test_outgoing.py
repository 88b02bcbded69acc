"""Addresses that others name lead into the internet or nowhere."""

from collections.abc import Sequence

import pytest
from aiohttp import ClientConnectionError, web
from yarl import URL

from runtime.outgoing import ForbiddenTargetError, Pinned, Target, checked, is_public, session_to
from tests.support.processes import free_port

PUBLIC = "93.184.216.34"


class Names:
    """A resolver that answers each question with the next of its answers."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self._answers = list(answers)
        self.asked: list[tuple[str, int]] = []

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked.append((host, port))
        return self._answers.pop(0)


async def test_a_name_that_leads_into_the_internet_may_be_called() -> None:
    names = Names([PUBLIC, "2606:2800:220:1::1"])

    target = await checked("https://Partner.example:8443/hook?a=1", resolve=names)

    assert names.asked == [("partner.example", 8443)]
    assert (target.host, target.addresses) == ("partner.example", (PUBLIC, "2606:2800:220:1::1"))
    assert str(target.url) == "https://partner.example:8443/hook?a=1"


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "127.9.9.9",
        "0.0.0.0",  # noqa: S104 (which is one's own machine)
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "100.64.0.1",
        "169.254.169.254",
        "192.0.0.192",
        "192.0.2.1",
        "198.18.0.1",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::127.0.0.1",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
        "::ffff:0:127.0.0.1",
        "64:ff9b::7f00:1",
        "64:ff9b::169.254.169.254",
        "2002:7f00:1::1",
        "2001:0:7f00:1::",
        "2001:db8::1",
        "fc00::1",
        "fd00:ec2::254",
        "fe80::1",
        "fe80::1%eth0",
        "fec0::1",
        "ff02::1",
        "nonsense",
    ],
)
async def test_no_address_of_our_own_networks_is_public(address: str) -> None:
    assert not is_public(address)
    for addresses in ([address], [PUBLIC, address]):
        with pytest.raises(ForbiddenTargetError, match="does not lead into the internet"):
            await checked("https://partner.example", resolve=Names(addresses))


@pytest.mark.parametrize("address", [PUBLIC, "8.8.8.8", "2606:4700:4700::1111", "::ffff:8.8.8.8"])
def test_addresses_of_the_internet_are_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "url",
    [
        "https://127.0.0.1",
        "https://127.1",
        "https://2130706433",
        "https://0x7f000001",
        "https://0177.0.0.1",
        "https://[::1]",
        "https://[::ffff:7f00:1]:8443",
        "https://localhost",
        "https://LOCALHOST.",
    ],
)
async def test_however_it_is_written_our_own_machine_is_not_called(url: str) -> None:
    with pytest.raises(ForbiddenTargetError):
        await checked(url)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "nonsense",
        "https://",
        "https:///path",
        "http://partner.example",
        "ftp://partner.example",
        "file:///etc/passwd",
        "gopher://partner.example",
        "https://user@partner.example",
        "https://user:word@partner.example",
        "https://partner.example:99999",
        "https://[::1",
    ],
)
async def test_what_is_no_plain_https_url_is_not_called(url: str) -> None:
    names = Names()
    with pytest.raises(ForbiddenTargetError):
        await checked(url, resolve=names)
    assert names.asked == []


async def test_a_name_that_leads_nowhere_is_not_called() -> None:
    with pytest.raises(ForbiddenTargetError, match="leads nowhere"):
        await checked("https://nobody.invalid")
    with pytest.raises(ForbiddenTargetError, match="does not lead into the internet"):
        await checked("https://partner.example", resolve=Names([]))


async def test_a_name_that_means_something_else_a_moment_later_changes_nothing() -> None:
    names = Names([PUBLIC], ["127.0.0.1"])

    target = await checked("https://partner.example", resolve=names)
    pinned = [found["host"] for _ in range(2) for found in await Pinned(target).resolve("partner.example", 443)]

    assert pinned == [PUBLIC, PUBLIC]
    assert len(names.asked) == 1
    with pytest.raises(OSError, match="was not checked"):
        await Pinned(target).resolve("localhost", 443)


async def test_a_connection_goes_to_the_address_that_was_checked() -> None:
    async def hook(request: web.Request) -> web.Response:
        return web.Response(text=request.host)

    async def away(request: web.Request) -> web.Response:
        raise web.HTTPFound(f"http://localhost:{port}/hook")

    app, port = web.Application(), free_port()
    app.router.add_get("/hook", hook)
    app.router.add_get("/away", away)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    url = URL(f"http://partner.example:{port}/hook")
    try:
        async with session_to(Target(url, "partner.example", ("127.0.0.1",)), seconds=10) as session:
            async with session.get(url, allow_redirects=False) as answer:
                assert await answer.text() == f"partner.example:{port}"
            with pytest.raises(ClientConnectionError):
                await session.get(url.with_path("/away"))
    finally:
        await runner.cleanup()
