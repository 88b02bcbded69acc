"""What customers meet at the shop's edge: Nginx, and Envoy behind it, in front of two API processes."""

import asyncio
import re
import ssl
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import httpx
import jwt
import psutil
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from db.base import new_id
from domain.customers import Role
from domain.permissions import Permission
from runtime.resources import Resources
from runtime.tokens import AccessClaims
from tests.api.test_problems import is_a_problem
from tests.gateway.conftest import ApiProcess
from tests.support.catalog import a_product
from tests.support.gateways import Front
from tests.support.people import PASSWORD
from tests.support.shopper import Shopper
from tests.support.staff import headers_of, headers_of_a_key
from tests.support.waiting import eventually

PROBLEM = "application/problem+json"


async def test_an_order_is_placed_through_the_gateway_by_http_and_by_https(front: Front, resources: Resources) -> None:
    product = await a_product(resources.sessions, stock=3)
    shopper = Shopper(front.of())
    placed = await shopper.check_out(await shopper.a_cart((product.variant_id, 1)))
    assert (placed.status_code, placed.json()["status"]) == (201, "confirmed")

    trusting = ssl.create_default_context(cafile=str(front.certificate))
    async with httpx.AsyncClient(base_url=front.https_url, verify=trusting, http2=False) as secure:
        shown = await secure.get(f"/v1/products/{product.product_id}")
    assert shown.json()["id"] == str(product.product_id)


async def test_both_processes_answer_and_each_request_keeps_its_name(front: Front, behind: list[ApiProcess]) -> None:
    before = [await api.counted("/v1/users/me") for api in behind]

    for number in range(20):
        answer = await front.of().get("/v1/users/me", headers={"X-Request-Id": f"mine-{number}"})
        is_a_problem(answer, 401, "unauthenticated")
        assert answer.headers.get_list("x-request-id") == [f"mine-{number}"]

    shares = [await api.counted("/v1/users/me") - was for api, was in zip(behind, before, strict=True)]
    assert sum(shares) == 20
    assert min(shares) >= 4
    unnamed = await front.of().get("/v1/users/me", headers={"X-Request-Id": "no id, but words"})
    assert re.fullmatch("[0-9a-f]{32}", unnamed.headers["x-request-id"])


async def test_the_api_counts_each_customer_by_their_own_address_over_all_processes(front: Front) -> None:
    address = "203.0.113.77"

    async def tries(client: httpx.AsyncClient, **headers: str) -> httpx.Response:
        wish = {"email": f"{uuid4().hex}@example.com", "password": PASSWORD}
        return await client.post("/v1/auth/login", json=wish, headers=headers)

    answers = [await tries(front.of(address)) for _ in range(5)]
    feigned = await tries(front.of(address), **{"X-Forwarded-For": f"198.51.100.1, {address}"})
    other = await tries(front.of("203.0.113.78"))

    assert [answer.status_code for answer in answers] == [401, 401, 401, 401, 429]
    assert answers[-1].json()["violated-policies"] == ["address.login"]
    assert (feigned.status_code, other.status_code) == (429, 401), (feigned.text, other.text)


def a_token(resources: Resources, *, now: datetime) -> str:
    claims = AccessClaims(user_id=new_id(), role=Role.CUSTOMER, session_id=new_id())
    return resources.tokens.access(claims, token_id=uuid4(), now=now)


def refused_tokens(resources: Resources) -> dict[str, str]:
    now = datetime.now(UTC)
    good = a_token(resources, now=now)
    claims = jwt.decode(good, options={"verify_signature": False})
    kid = jwt.get_unverified_header(good)["kid"]
    forged = jwt.encode(claims, Ed25519PrivateKey.generate(), algorithm="EdDSA", headers={"kid": kid})
    return {
        "forged": forged,
        "expired": a_token(resources, now=now - timedelta(hours=1)),
        "for something else": resources.tokens.device("somebody", None),
        "no token": "abc",
        "unsigned": jwt.encode(claims, "", algorithm="none"),
    }


async def test_a_token_that_is_not_good_does_not_get_as_far_as_the_api(
    front: Front, behind: list[ApiProcess], resources: Resources
) -> None:
    before = [await api.counted("/v1/orders") for api in behind]

    for kind, token in refused_tokens(resources).items():
        answer = await front.of().get("/v1/orders", headers={"Authorization": f"Bearer {token}", "X-Request-Id": "x1"})
        assert (answer.status_code, answer.headers["content-type"]) == (401, PROBLEM), kind
        assert answer.headers["www-authenticate"] == "Bearer"
        assert answer.json() == {
            "type": "urn:sutler:problem:unauthenticated",
            "title": "Sign in first",
            "status": 401,
            "detail": answer.json()["detail"],
            "code": "unauthenticated",
            "trace_id": "x1",
        }

    assert [await api.counted("/v1/orders") for api in behind] == before


async def test_good_tokens_and_api_keys_pass_and_who_renews_a_token_may_still_show_the_old_one(
    front: Front, resources: Resources
) -> None:
    customer = await headers_of(resources, Role.CUSTOMER)
    machine = await headers_of_a_key(resources, [Permission.ORDERS_READ])
    old = {"Authorization": f"Bearer {a_token(resources, now=datetime.now(UTC) - timedelta(hours=1))}"}

    mine = await front.of().get("/v1/orders", headers=customer)
    all_of_them = await front.of().get("/v1/admin/orders?limit=1", headers=machine)
    renewed = await front.of().post("/v1/auth/refresh", json={"refresh_token": "unknown"}, headers=old)

    assert (mine.status_code, mine.json()["items"]) == (200, [])
    assert all_of_them.status_code == 200
    is_a_problem(renewed, 401, "refresh_token_invalid")


async def test_the_catalogue_is_kept_for_a_second_and_known_by_its_tag_but_not_for_those_who_signed_in(
    front: Front, resources: Resources
) -> None:
    product = await a_product(resources.sessions, stock=3)
    path, staff = f"/v1/products/{product.product_id}", await headers_of(resources, Role.OPERATOR)

    first = await front.of().get(path, headers={"X-Request-Id": "first"})
    second = await front.of().get(path, headers={"X-Request-Id": "second"})
    known = await front.of().get(path, headers={"If-None-Match": first.headers["etag"]})
    signed_in = [await front.of().get(path, headers=staff) for _ in range(2)]

    assert first.headers["cache-control"] == "public, max-age=0, s-maxage=1, must-revalidate"
    assert (first.headers["cache-status"], second.headers["cache-status"]) == ("nginx; fwd=miss", "nginx; hit")
    assert second.content == first.content
    assert (second.headers["etag"], second.headers["x-request-id"]) == (first.headers["etag"], "second")
    assert (known.status_code, known.content) == (304, b"")
    assert [answer.headers["cache-status"] for answer in signed_in] == ["nginx; fwd=bypass"] * 2

    change = {"quantity_change": 4, "reason": "found"}
    adjusted = await front.of().post(f"/v1/variants/{product.variant_id}/stock-adjustments", json=change, headers=staff)
    assert adjusted.is_success

    async def shows_the_change() -> bool:
        return bool((await front.of().get(path)).json()["stock_quantity"] == 7)

    await eventually(shows_the_change, within=5)


async def test_what_is_private_is_never_kept(front: Front, resources: Resources) -> None:
    cart = (await front.of().post("/v1/carts", json={"currency": "USD"})).json()
    for path in (f"/v1/carts/{cart['id']}", "/v1/admin/limits"):
        assert "cache-status" not in (await front.of().get(path)).headers


@pytest.mark.parametrize(
    "path", ["/metrics", "//metrics", "/metrics/", "/%6detrics", "/v1/../metrics", "/v1/%2e%2e/metrics"]
)
async def test_metrics_are_for_those_inside(front: Front, path: str) -> None:
    host, port = front.plans[0].envoy
    for address in (front.url, f"http://{host}:{port}"):
        told = await raw(address, f"GET {path} HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n\r\n".encode())
        assert int(told.split()[1]) in (400, 404), address
        assert b"http_requests_total" not in told


def test_nothing_of_the_gateway_listens_but_what_was_asked_for(front: Front) -> None:
    assert ports_of(front.envoys[0].pid) == {front.plans[0].envoy[1], front.plans[0].stats[1]}
    admin = front.plans[0].directory / "admin.sock"
    assert admin.stat().st_mode & 0o777 == 0o600


async def test_bodies_and_headers_that_are_too_large_are_refused_at_the_edge(front: Front) -> None:
    body = await front.of().post("/v1/carts", content=b" " * (1024 * 1024 + 1))
    headers = await front.of().get("/v1/products", headers={"X-Note": "a" * 20_000})

    assert (body.status_code, body.headers["content-type"], body.json()["code"]) == (413, PROBLEM, "body_too_large")
    assert (headers.status_code, headers.headers["content-type"]) == (431, PROBLEM)


async def test_who_asks_too_often_is_told_to_wait_and_others_are_not(front: Front) -> None:
    many = await asyncio.gather(*(front.of("203.0.113.99").get("/v1/nothing") for _ in range(120)))
    other = await front.of("203.0.113.98").get("/v1/nothing")

    refused = [answer for answer in many if answer.status_code == 429]
    assert len(refused) >= 10
    assert {(answer.headers["content-type"], answer.headers["retry-after"]) for answer in refused} == {(PROBLEM, "1")}
    assert {answer.json()["code"] for answer in refused} == {"rate_limited"}
    assert other.status_code == 404


async def test_nobody_notices_that_a_process_is_killed_and_it_is_used_again_when_it_is_back(
    front: Front, behind: list[ApiProcess], resources: Resources
) -> None:
    product = await a_product(resources.sessions, stock=30)
    shoppers = [Shopper(front.of(f"203.0.113.{number}")) for number in range(10, 16)]
    answers: list[httpx.Response] = []
    goes_on = True

    async def look_around(shopper: Shopper) -> None:
        while goes_on:
            answers.append(await shopper.send("GET", f"/v1/carts/{uuid4()}"))
            answers.append(await shopper.send("GET", f"/v1/products/{product.product_id}"))
            await asyncio.sleep(0.05)

    looking = [asyncio.create_task(look_around(shopper)) for shopper in shoppers]
    await eventually(lambda: has_come_to(answers, 30))
    behind[0].kill()
    killed_at = len(answers)
    await eventually(lambda: has_come_to(answers, killed_at + 100))
    await behind[0].stop()
    await behind[0].start()

    async def is_used_again() -> bool:
        return await behind[0].counted("/v1/carts/{cart_id}") >= 3

    await eventually(is_used_again)
    goes_on = False
    await asyncio.gather(*looking)
    assert {answer.status_code for answer in answers} == {200, 404}


async def has_come_to(answers: list[httpx.Response], number: int) -> bool:
    return len(answers) >= number


async def raw(url: str, asked: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
    writer.write(asked)
    async with asyncio.timeout(10):
        told = await reader.read()
    writer.close()
    return told


def ports_of(pid: int) -> set[int]:
    connections = psutil.Process(pid).net_connections("tcp")
    return {connection.laddr.port for connection in connections if connection.status == psutil.CONN_LISTEN}
