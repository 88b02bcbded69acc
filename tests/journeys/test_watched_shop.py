"""What those who watch a shop see of it: traces, numbers, health, and as much of the log as they want."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from secrets import token_hex
from subprocess import Popen
from typing import Any
from uuid import uuid4

import httpx
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession
from temporalio.client import WorkflowHandle

from db import breaches, orders, outbox, webhook_deliveries
from deploy import embedded
from deploy.gateway.files import Gateway
from deploy.gateway.servers import envoy, envoy_program
from deploy.observability.dashboards import DASHBOARDS
from deploy.ports import free_ports
from deploy.processes import stop_all
from domain.attention import Concern
from domain.audit import Breach, Law
from domain.customers import Role
from domain.orders import OrderAttention
from domain.webhooks import PAUSES
from runtime.databases import migrated
from runtime.resources import Resources, opened
from runtime.settings import Settings
from tests.api.test_late_money import AT_THE_BANK, AUTHORIZED, about, payment_of
from tests.api.test_webhooks import deliver
from tests.support.catalog import AProduct, a_product, unique
from tests.support.engines import PrivateShop, api_process, kill, private_shop
from tests.support.gate import Gate
from tests.support.gateways import started
from tests.support.orders import a_cart, a_placed_order
from tests.support.otlp import Collector, Told, collector, tree_of
from tests.support.processes import answers, free_port, process
from tests.support.prometheus import program
from tests.support.receiver import a_receiver, takes_all
from tests.support.replica import Copy, a_copy
from tests.support.shopper import ADDRESS, Shopper
from tests.support.staff import headers_of
from tests.support.waiting import eventually
from tests.support.webhooks import SOURCE, an_endpoint
from workflows.names import Queue

OBSERVABILITY = Path(__file__).parents[2] / "deploy" / "observability"
EMAIL = "traced.shopper@example.com"


@pytest.fixture(scope="module")
def told() -> Iterator[Collector]:
    with collector() as made:
        yield made


@pytest.fixture(scope="module")
async def gate(settings: Settings) -> AsyncIterator[Gate]:
    """The way of the shop's processes to the engine."""
    host, _, port = settings.temporal.address.partition(":")
    made = Gate(free_port(), host, int(port))
    await made.open()
    yield made
    await made.close()


@pytest.fixture(scope="module")
async def own(
    settings: Settings, environment: dict[str, str], told: Collector, gate: Gate
) -> AsyncIterator[tuple[Resources, dict[str, str]]]:
    """Tables of their own, so that nobody else carries their events."""
    name = f"traced_{uuid4().hex[:8]}"
    database = settings.database.model_copy(update={"shop_schema": name})
    await asyncio.to_thread(migrated, database)
    variables = {
        "APP_DATABASE__SHOP_SCHEMA": name,
        "APP_CACHE__PREFIX": f"{name}:",
        "APP_EVENTS__STREAM": name,
        "APP_TEMPORAL__ADDRESS": f"127.0.0.1:{gate.port}",
        "APP_TELEMETRY__OTLP_ENDPOINT": told.url,
        "APP_TELEMETRY__OTLP_HEADERS": "x-of-the-shop=7",
        "APP_TELEMETRY__SAMPLE_RATIO": "0",  # the caller decides
    }
    async with opened(settings.model_copy(update={"database": database})) as resources:
        yield resources, {**environment, **variables}


@pytest.fixture(scope="module")
async def shop(
    own: tuple[Resources, dict[str, str]], sandbox_url: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[PrivateShop]:
    resources, environment = own
    async with private_shop(resources, environment, tmp_path_factory.mktemp("traced")) as private:
        yield private


def traced(caller: str, *, flags: str = "01") -> dict[str, str]:
    return {"traceparent": f"00-{caller}-{'ab' * 8}-{flags}"}


async def test_a_checkout_is_one_trace_also_when_its_payment_is_tried_again_and_its_worker_killed(
    shop: PrivateShop, own: tuple[Resources, dict[str, str]], told: Collector, sandbox: httpx.AsyncClient
) -> None:
    resources, _ = own
    product = await a_product(resources.sessions, price="10.00", stock=3)
    worker = await shop.start_worker(Queue.CHECKOUT)
    await asyncio.gather(shop.start_worker(Queue.PAYMENTS), shop.start_worker(Queue.EVENTS))
    trace, shopper = token_hex(16), Shopper(shop.http, email=EMAIL)
    cart = await shopper.a_cart((product.variant_id, 1))
    await sandbox.put("/faults", json={"payments": {"next": FAILS_ONCE_THEN_THINKS}})

    answer = asyncio.create_task(
        shopper.send(
            "POST",
            "/v1/checkouts",
            json={"cart_id": cart, "payment_method": "pm_card_visa"},
            headers={"Idempotency-Key": f"key-{cart}", **traced(trace)},
        )
    )
    await eventually(lambda: has_come(told, trace, "StartActivity:payments.authorize"))
    worker.kill()
    await asyncio.to_thread(worker.wait)
    await shop.start_worker(Queue.CHECKOUT)
    assert (await answer).status_code == 201, (await answer).text
    await eventually(lambda: has_come(told, trace, "publish order.confirmed"))
    await eventually(lambda: has_come(told, trace, "RunActivity:orders.confirm"))
    await eventually(lambda: has_come(told, trace, "POST /v1/checkouts"))

    spans = told.spans(trace)
    steps = [span for span in spans if "db.system.name" not in span.attributes]
    assert tree_of(steps, root="ab" * 8) == [
        {
            "POST /v1/checkouts": [
                {
                    "StartUpdateWithStartWorkflow:Checkout": [
                        {"HandleUpdate:place": []},
                        {"RunWorkflow:Checkout": []},
                        {
                            "StartActivity:orders.place": [
                                {"RunActivity:orders.place": [{"publish order.placed": []}]},
                            ]
                        },
                        {
                            "StartActivity:payments.authorize": [
                                {"RunActivity:payments.authorize": [{"POST /v1/payment_intents": []}]},
                                {
                                    "RunActivity:payments.authorize": [
                                        {"GET /v1/payment_intents/search": []},
                                        {"POST /v1/payment_intents": []},
                                    ]
                                },
                            ]
                        },
                        {
                            "StartActivity:orders.confirm": [
                                {"RunActivity:orders.confirm": [{"publish order.confirmed": []}]},
                            ]
                        },
                    ]
                }
            ]
        }
    ]
    order_id = (await answer).json()["id"]
    are_what_they_should_be(steps, order_id)
    await statements_hang_on_their_steps(spans)
    await a_look_asks_valkey_first(told, shopper, product)
    await events_know_their_trace(resources, order_id, trace, spans)
    await nobody_is_in_them(told, cart, product.variant_id)
    assert told.headers[0]["x-of-the-shop"] == "7"


FAILS_ONCE_THEN_THINKS = [
    {"operation": "create", "fault": "error"},
    {"operation": "create", "fault": "latency", "ms": 2500},
]


async def has_come(told: Collector, trace: str, name: str) -> bool:
    return any(span.name == name for span in told.spans(trace))


def are_what_they_should_be(steps: list[Told], order_id: str) -> None:
    by_name = {span.name: span for span in steps}
    kinds = {name: (span.kind, span.service) for name, span in by_name.items()}
    assert kinds == {
        "POST /v1/checkouts": ("SERVER", "sutler-api"),
        "StartUpdateWithStartWorkflow:Checkout": ("CLIENT", "sutler-api"),
        "RunWorkflow:Checkout": ("SERVER", "sutler-worker"),
        "HandleUpdate:place": ("SERVER", "sutler-worker"),
        "StartActivity:orders.place": ("CLIENT", "sutler-worker"),
        "RunActivity:orders.place": ("SERVER", "sutler-worker"),
        "StartActivity:payments.authorize": ("CLIENT", "sutler-worker"),
        "RunActivity:payments.authorize": ("SERVER", "sutler-worker"),
        "POST /v1/payment_intents": ("CLIENT", "sutler-worker"),
        "GET /v1/payment_intents/search": ("CLIENT", "sutler-worker"),
        "StartActivity:orders.confirm": ("CLIENT", "sutler-worker"),
        "RunActivity:orders.confirm": ("SERVER", "sutler-worker"),
        "publish order.placed": ("PRODUCER", "sutler-worker"),
        "publish order.confirmed": ("PRODUCER", "sutler-worker"),
    }
    assert by_name["POST /v1/checkouts"].attributes == {
        "http.request.method": "POST",
        "http.route": "/v1/checkouts",
        "http.response.status_code": 201,
    }
    assert by_name["RunWorkflow:Checkout"].attributes["temporalWorkflowID"] == f"order:{order_id}"
    first, second = [span for span in steps if span.name == "RunActivity:payments.authorize"]
    assert (first.is_error, [event["exception.type"] for event in first.events]) == (
        True,
        ["providers.payments.base.OutcomeUnknown"],
    )
    assert (second.is_error, second.events) == (False, [])
    asked = [span for span in steps if span.name == "POST /v1/payment_intents"]
    assert [span.attributes["http.response.status_code"] for span in asked] == [500, 200]
    assert asked[0].attributes["url.template"] == "/v1/payment_intents"


async def statements_hang_on_their_steps(spans: list[Told]) -> None:
    names = {span.span_id: span.name for span in spans}
    asked = {(names.get(span.parent_id), span.name) for span in spans if span.attributes.get("db.system.name")}
    assert {
        ("POST /v1/checkouts", "INSERT checkouts"),
        ("RunActivity:orders.place", "INSERT order_events"),
        ("RunActivity:orders.confirm", "UPDATE orders"),
    } <= asked
    assert ("CLIENT", "postgresql") in kinds_of_servers(spans)


async def a_look_asks_valkey_first(told: Collector, shopper: Shopper, product: AProduct) -> None:
    trace = token_hex(16)
    await shopper.send("GET", f"/v1/products/{product.product_id}", headers=traced(trace))

    await eventually(lambda: has_come(told, trace, "GET /v1/products/{product}"))
    assert kinds_of_servers(told.spans(trace)) == {("CLIENT", "postgresql"), ("CLIENT", "valkey")}


def kinds_of_servers(spans: list[Told]) -> set[tuple[str, Any]]:
    return {(span.kind, span.attributes["db.system.name"]) for span in spans if "db.system.name" in span.attributes}


async def events_know_their_trace(resources: Resources, order_id: str, trace: str, spans: list[Told]) -> None:
    names = {span.span_id: span.name for span in spans}
    stream = resources.settings.database.shop_schema
    entries: Any = await resources.redis.xrange(stream)
    bodies = [httpx.Response(200, content=entry[b"event"]).json() for _, entry in entries]
    told = {body["type"]: body["traceparent"] for body in bodies if body["data"].get("order_id") == order_id}
    assert {happened: names[parent.split("-")[2]] for happened, parent in told.items()} == {
        "order.placed": "RunActivity:orders.place",
        "order.confirmed": "RunActivity:orders.confirm",
    }
    assert {parent.split("-")[1] for parent in told.values()} == {trace}


async def nobody_is_in_them(told: Collector, cart: str, variant_id: Any) -> None:
    everything = b"".join(told.raw)
    for secret in (EMAIL, ADDRESS["name"], ADDRESS["line1"], "pm_card_visa", "sk_test", cart, str(variant_id)):
        assert secret.encode() not in everything


async def test_ready_answers_are_traced_where_their_caller_is(shop: PrivateShop, told: Collector) -> None:
    path, trace = "/v1/products?limit=1", token_hex(16)
    await shop.http.get(path)
    ready = await shop.http.get(path, headers=traced(trace))
    unwanted = await shop.http.get(path, headers=traced("c" * 32, flags="00"))

    assert (ready.headers["x-request-id"], unwanted.headers["x-request-id"]) == (trace, "c" * 32)
    await eventually(lambda: has_come(told, trace, "GET /v1/products"))
    [span] = told.spans(trace)
    assert (span.parent_id, span.kind, span.attributes) == (
        "ab" * 8,
        "SERVER",
        {"http.request.method": "GET", "http.route": "/v1/products", "http.response.status_code": 200},
    )
    assert span.ended > span.begun
    assert told.spans("c" * 32) == []


async def test_requests_are_answered_while_nobody_takes_their_spans(
    own: tuple[Resources, dict[str, str]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    _, environment = own
    port = free_port()
    url, log = f"http://127.0.0.1:{port}", tmp_path_factory.mktemp("deaf") / "api.log"
    deaf = {
        "APP_API__PORT": str(port),
        "APP_TELEMETRY__OTLP_ENDPOINT": f"http://127.0.0.1:{free_port()}",
        "APP_TELEMETRY__SAMPLE_RATIO": "1",
    }
    with process("cli", "api", environment={**environment, **deaf}, ready=answers(f"{url}/health"), log=log):
        async with httpx.AsyncClient(base_url=url) as api:
            statuses = {(await api.get("/v1/categories")).status_code for _ in range(30)}

            async def spans_were_lost() -> bool:
                return 'sutler_spans_total{outcome="lost"}' in (await api.get("/metrics")).text

            await eventually(spans_were_lost)
    assert statuses == {200}


@dataclass
class Watched:
    """The workers of checkouts and payments, and of their events, at the addresses where they are watched."""

    shop: PrivateShop
    checkout: httpx.AsyncClient
    engine: httpx.AsyncClient
    payments: httpx.AsyncClient
    payments_engine: httpx.AsyncClient
    till: "Popen[bytes] | None" = None
    """Who serves checkouts."""
    courier: "Popen[bytes] | None" = None
    """Who serves payments, and carries events, also to webhook endpoints."""

    async def start_till(self, **variables: str) -> None:
        """Instead of the one that there is."""
        if self.till is not None:
            await kill(self.till)
        at = asked_at(self.checkout, self.engine)
        self.till = await self.shop.start("cli", "worker", Queue.CHECKOUT, **at, **variables)

    async def start_courier(self, *also: Queue) -> None:
        queues = (Queue.PAYMENTS, Queue.EVENTS, Queue.WEBHOOKS, *also)
        at = asked_at(self.payments, self.payments_engine)
        self.courier = await self.shop.start("cli", "worker", *queues, **at)


@pytest.fixture(scope="module")
async def watched(shop: PrivateShop) -> AsyncIterator[Watched]:
    await shop.stop_workers()
    async with AsyncExitStack() as stack:
        parts = [httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") for port in free_ports(4)]
        checkout, engine, payments, payments_engine = [await stack.enter_async_context(part) for part in parts]
        made = Watched(shop, checkout, engine, payments, payments_engine)
        await made.start_till()
        await made.start_courier()
        yield made
    await shop.stop_workers()


def asked_at(part: httpx.AsyncClient, engine: httpx.AsyncClient) -> dict[str, str]:
    ports = [str(each.base_url.port) for each in (part, engine)]
    return dict(zip(("APP_WORKERS__METRICS_PORT", "APP_WORKERS__ENGINE_METRICS_PORT"), ports, strict=True))


async def numbers(part: httpx.AsyncClient) -> dict[str, float]:
    """The samples, by name and labels, without those that the SDK adds to all of its own."""
    read = text_string_to_metric_families((await part.get("/metrics")).text)
    told: dict[str, float] = {}
    for sample in (sample for family in read for sample in family.samples):
        labels = ",".join(f"{name}={value}" for name, value in sorted(sample.labels.items()) if name not in OF_THE_SDK)
        told[f"{sample.name}{{{labels}}}"] = sample.value
    return told


OF_THE_SDK = ("namespace", "service_name", "task_queue", "workflow_type")


async def test_the_numbers_of_a_shop_say_how_its_checkouts_and_payments_end(
    shop: PrivateShop, own: tuple[Resources, dict[str, str]], watched: Watched
) -> None:
    resources, _ = own
    product = await a_product(resources.sessions, price="10.00", stock=1)
    shopper = Shopper(shop.http)
    carts = [await shopper.a_cart((product.variant_id, 1)) for _ in range(3)]
    cards = ("pm_card_chargeDeclined", "pm_card_visa", "pm_card_visa")
    statuses = [(await shopper.check_out(cart, card=card)).status_code for cart, card in zip(carts, cards, strict=True)]
    assert statuses == [402, 201, 409]

    async def all_are_counted() -> bool:
        engine, payments = await numbers(watched.engine), await numbers(watched.payments)
        return (
            [engine.get(f"sutler_checkouts_total{{outcome={outcome}}}") for outcome in OUTCOMES] == [1, 1, 1]
            and [engine.get(f"sutler_checkout_duration_seconds_count{{outcome={each}}}") for each in OUTCOMES]
            == [1, 1, 1]
            and payments.get("sutler_payment_answers_total{answer=declined,step=payments.authorize}") == 1
            and payments.get("sutler_payment_answers_total{answer=authorized,step=payments.authorize}") == 1
            and payments.get("sutler_events_total{type=order.confirmed}", 0) >= 1
            and payments.get("sutler_events_total{type=order.cancelled}", 0) >= 1
        )

    await eventually(all_are_counted)
    engine, api = await numbers(watched.engine), await numbers(shop.http)
    assert engine["temporal_worker_task_slots_available{worker_type=WorkflowWorker}"] > 0
    assert any(name.startswith("temporal_workflow_task_schedule_to_start_latency_seconds_bucket") for name in engine)
    assert api["http_requests_total{method=POST,path=/v1/checkouts,status=201}"] >= 1
    assert (api["sutler_orders_pending{}"], api["sutler_payments_unknown{}"]) == (0, 0)
    assert api["sutler_database_connections{state=most}"] == 10


OUTCOMES = ("payment_declined", "confirmed", "out_of_stock")


async def test_a_worker_says_that_it_lives_and_that_it_can_work(watched: Watched) -> None:
    health, ready = [await watched.payments.get(path) for path in ("/health", "/ready")]
    assert (health.status_code, health.json()) == (200, {"status": "ok"})
    assert (ready.status_code, ready.json()) == (
        200,
        {"status": "ok", "checks": {"database": "ok", "workflow_engine": "ok"}},
    )


async def test_an_admin_changes_what_all_processes_log_and_nobody_restarts_them(
    shop: PrivateShop, own: tuple[Resources, dict[str, str]], watched: Watched
) -> None:
    resources, _ = own
    admin, operator = await headers_of(resources, Role.ADMIN), await headers_of(resources, Role.OPERATOR)
    at, wish = "/v1/admin/log-level", {"level": "DEBUG", "reason": "a payment looks odd"}

    assert (await shop.http.put(at, json=wish, headers=operator)).status_code == 403
    assert (await shop.http.put(at, json={**wish, "level": "LOUD"}, headers=admin)).status_code == 422
    changed = await shop.http.put(at, json=wish, headers=admin)
    assert (changed.status_code, changed.json()["level"], changed.json()["setting"]) == (200, "DEBUG", "WARNING")
    await eventually(lambda: all_have_heard(shop, "DEBUG"))

    back = (await shop.http.put(at, json={"level": None, "reason": "it was not"}, headers=admin)).json()
    assert (back["level"], back["changed_at"]) == ("WARNING", None)
    await eventually(lambda: all_have_heard(shop, "WARNING"))
    assert (await shop.http.get(at, headers=admin)).json() == back
    async with resources.sessions() as session:
        notes = await session.scalars(text("SELECT note FROM audit_log WHERE action = 'log_level.change' ORDER BY id"))
        assert notes.all() == ["to DEBUG: a payment looks odd", "to its setting: it was not"]


async def all_have_heard(shop: PrivateShop, level: str) -> bool:
    """Do the last lines about it say so, in the log of the API and in those of both workers that run?"""
    logs = [max(shop.directory.glob(f"{part}*.log"), key=began) for part in ("api", "checkout", "webhooks")]
    told = [[line for line in log.read_text().splitlines() if '"event": "log_level"' in line] for log in logs]
    return all(lines and f'"to": "{level}"' in lines[-1] for lines in told)


def began(log: Path) -> float:
    return log.stat().st_ctime_ns


@pytest.fixture(scope="module")
def in_trouble() -> str:
    """Where an API process without Valkey and without a collector of traces will be, once a test starts it."""
    return f"127.0.0.1:{free_port()}"


@pytest.fixture(scope="module")
async def envoy_statistics(shop: PrivateShop, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    """Of an Envoy that has answered somebody for the shop."""
    try:
        envoy_program()
    except RuntimeError as reason:
        pytest.skip(str(reason))
    directory = tmp_path_factory.mktemp("envoy")
    api = ("127.0.0.1", int(shop.environment["APP_API__PORT"]))
    listens, counts, *others = [("127.0.0.1", port) for port in free_ports(4)]
    plan = Gateway(
        directory=directory,
        apis=(api,),
        envoys=(listens,),
        envoy=listens,
        stats=counts,
        http=others[0],
        https=others[1],
    )
    child = await started(envoy(plan), directory)
    try:
        async with httpx.AsyncClient(base_url=f"http://{listens[0]}:{listens[1]}") as client:
            assert (await client.get("/v1/categories")).status_code == 200
        yield f"{counts[0]}:{counts[1]}"
    finally:
        stop_all([child])


@dataclass
class Reader:
    """An API process that reads the catalogue from a replica, which can be held up."""

    http: httpx.AsyncClient
    copy: Copy

    async def is_behind(self) -> bool:
        return (await numbers(self.http))["sutler_replica_behind_seconds{}"] > 0


@pytest.fixture(scope="module")
async def reader(
    shop: PrivateShop, own: tuple[Resources, dict[str, str]], stack: embedded.Running
) -> AsyncIterator[Reader]:
    """Its replica has been held up while something changed: half a minute of that is what other tests take anyway."""
    resources, _ = own
    async with AsyncExitStack() as parts:
        copying = a_copy(stack.postgres_port)
        copy = await asyncio.to_thread(copying.__enter__)
        parts.push_async_callback(asyncio.to_thread, copying.__exit__, None, None, None)
        port = str(free_port())
        variables = {"APP_API__PORT": port, "APP_DATABASE__REPLICA_URL": copy.url}
        part = api_process({**shop.environment, **variables}, shop.directory)
        await asyncio.to_thread(part.__enter__)
        parts.push_async_callback(asyncio.to_thread, part.__exit__, None, None, None)
        made = Reader(await parts.enter_async_context(an_api(f"127.0.0.1:{port}")), copy)

        async def has_caught_up() -> bool:
            return not await made.is_behind()

        await eventually(has_caught_up)
        await copy.hold_up()
        await a_product(resources.sessions)
        await eventually(made.is_behind)
        yield made


@pytest.fixture(scope="module")
async def prometheus(
    shop: PrivateShop,
    watched: Watched,
    in_trouble: str,
    reader: Reader,
    envoy_statistics: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[httpx.AsyncClient]:
    """Prometheus itself, looking often, with the shop's rules, heard at once here and looking back for moments."""
    folder = tmp_path_factory.mktemp("prometheus")
    rules = yaml.safe_load((OBSERVABILITY / "rules.yml").read_text())
    for rule in (rule for group in rules["groups"] for rule in group["rules"]):
        rule.pop("for", None)
        rule["expr"] = re.sub(r"\[\d+[mh]\]", "[5s]", rule["expr"])
    (folder / "rules.yml").write_text(json.dumps(rules))
    config = yaml.safe_load((OBSERVABILITY / "prometheus.yml").read_text())
    config["global"] = {"scrape_interval": "500ms", "evaluation_interval": "500ms"}
    targets = {
        "sutler-api": [at(shop.http), in_trouble, at(reader.http)],
        "sutler-worker": [at(watched.checkout), at(watched.payments)],
        "sutler-engine": [at(watched.engine), at(watched.payments_engine)],
        "sutler-gateway": [envoy_statistics],
    }
    for job in config["scrape_configs"]:
        job["static_configs"] = [{"targets": targets[job["job_name"]]}]
    (folder / "prometheus.yml").write_text(json.dumps(config))
    port = free_port()
    binary = [program("prometheus"), f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data"]
    with (folder / "prometheus.log").open("wb") as log:
        running = await asyncio.create_subprocess_exec(
            *binary, f"--web.listen-address=127.0.0.1:{port}", stdout=log, stderr=log
        )
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
            yield client
    finally:
        running.terminate()
        await running.wait()


def at(part: httpx.AsyncClient) -> str:
    return part.base_url.netloc.decode()


async def asked(prometheus: httpx.AsyncClient, path: str, **query: str) -> Any:
    try:
        return (await prometheus.get(f"/api/v1/{path}", params=query)).json()["data"]
    except (httpx.TransportError, ValueError):
        return None


async def test_every_query_of_every_dashboard_and_alert_finds_something(
    shop: PrivateShop, own: tuple[Resources, dict[str, str]], prometheus: httpx.AsyncClient
) -> None:
    resources, _ = own
    product = await a_product(resources.sessions, price="10.00", stock=50)
    shopper = Shopper(shop.http)
    queries = {panel.query for panels in DASHBOARDS.values() for panel in panels}

    async def all_find_something() -> bool:
        await shop.http.get("/v1/products?limit=1")
        for card in ("pm_card_visa", "pm_card_chargeDeclined"):
            await shopper.check_out(await shopper.a_cart((product.variant_id, 1)), card=card)
        for query in list(queries):
            found = await asked(prometheus, "query", query=query)
            if found and found["result"]:
                queries.discard(query)
        return not queries

    with suppress(TimeoutError):
        await eventually(all_find_something, within=40)
    assert queries == set()
    rules = (await asked(prometheus, "rules"))["groups"]
    assert {rule["health"] for group in rules for rule in group["rules"]} == {"ok"}


async def heard(prometheus: httpx.AsyncClient) -> set[str] | None:
    found = await asked(prometheus, "alerts")
    return found and {alert["labels"]["alertname"] for alert in found["alerts"]}


async def are_heard(prometheus: httpx.AsyncClient, *alerts: str) -> bool:
    return set(alerts) <= (await heard(prometheus) or set())


async def are_over(prometheus: httpx.AsyncClient, *alerts: str) -> bool:
    now = await heard(prometheus)
    return now is not None and not now & set(alerts)


async def test_orders_that_need_a_person_are_heard_of_until_somebody_came(
    own: tuple[Resources, dict[str, str]], prometheus: httpx.AsyncClient
) -> None:
    resources, _ = own
    product = await a_product(resources.sessions, price="10.00", stock=1)
    order = await a_placed_order(resources.sessions, (product.variant_id, 1))
    breach = Breach(law=Law.STOCK_IS_ITS_MOVEMENTS, subject=str(product.variant_id), words="one unit is gone")
    concern = OrderAttention(order_id=order.order_id, concern=Concern.PAYMENT_UNKNOWN, detail="nobody answered")
    alerts = ("OrdersNeedAttention", "PaymentsUnknown", "BooksDoNotAddUp")
    await eventually(lambda: are_over(prometheus, *alerts))

    async with resources.sessions.begin() as session:
        await orders.attend(session, concern)
        await breaches.note(session, [breach], [])
        await session.execute(STEP, {"id": order.order_id, "step": "payment_unknown"})
    await eventually(lambda: are_heard(prometheus, *alerts))

    async with resources.sessions.begin() as session:
        await orders.attend(session, replace(concern, detail=None))
        await breaches.note(session, [], [breach])
        await session.execute(STEP, {"id": order.order_id, "step": None})
    await eventually(lambda: are_over(prometheus, *alerts))


STEP = text("UPDATE orders SET pending_step = :step WHERE id = :id")


async def test_a_provider_that_does_not_answer_and_cards_that_are_declined_are_heard_of(
    shop: PrivateShop,
    own: tuple[Resources, dict[str, str]],
    prometheus: httpx.AsyncClient,
    sandbox: httpx.AsyncClient,
) -> None:
    resources, _ = own
    product = await a_product(resources.sessions, price="10.00", stock=50)
    shopper = Shopper(shop.http)

    async def buy_in_vain() -> None:
        while True:
            await sandbox.put("/faults", json={"payments": {"next": [{"operation": "create", "fault": "error"}]}})
            for _ in range(3):  # most answers are to be those that decline, not those that are missing
                await shopper.check_out(await shopper.a_cart((product.variant_id, 1)), card="pm_card_chargeDeclined")

    buying = asyncio.create_task(buy_in_vain())
    try:
        await eventually(lambda: are_heard(prometheus, "PaymentProviderSilent"))
        await eventually(lambda: are_heard(prometheus, "CardsAreDeclined"))
    finally:
        buying.cancel()
    await eventually(lambda: are_over(prometheus, "PaymentProviderSilent", "CardsAreDeclined"))


IN_TROUBLE = {
    "RequestsFail",
    "RequestsAreShed",
    "ManyAreLimited",
    "StatementsGivenUp",
    "CircuitBreakerOpen",
    "TelemetryLost",
}


async def test_a_process_without_valkey_and_collector_that_is_asked_too_much_is_heard_of(
    shop: PrivateShop, own: tuple[Resources, dict[str, str]], prometheus: httpx.AsyncClient, in_trouble: str
) -> None:
    resources, _ = own
    variables = {
        "APP_API__PORT": in_trouble.rpartition(":")[2],
        "APP_CACHE__URL": f"redis://127.0.0.1:{free_port()}",
        "APP_TELEMETRY__OTLP_ENDPOINT": f"http://127.0.0.1:{free_port()}",
        "APP_TELEMETRY__SAMPLE_RATIO": "1",
        "APP_AT_ONCE__CATALOGUE": "1",
        "APP_LIMITS__ADDRESS_LOGIN": "1/min",
        "APP_DATABASE__LOCK_SECONDS": "0.2",
    }
    cart_id, so_far = await a_cart(resources.sessions), set[str]()
    await eventually(lambda: are_heard(prometheus, "ApiDown"))
    part = api_process({**shop.environment, **variables}, shop.directory)
    await asyncio.to_thread(part.__enter__)
    try:
        async with an_api(in_trouble) as api, resources.sessions.begin() as session:
            await session.execute(text("SELECT id FROM carts WHERE id = :id FOR UPDATE"), {"id": cart_id})

            async def all_were_heard() -> bool:
                await asyncio.gather(
                    *(api.get(f"/v1/products?q=nothing{n}") for n in range(20)),
                    *(api.post("/v1/auth/login", json={"email": EMAIL, "password": "wrong"}) for _ in range(40)),
                    api.put(f"/v1/carts/{cart_id}/email", json={"email": EMAIL}),
                )
                so_far.update(await heard(prometheus) or set())
                return so_far >= IN_TROUBLE

            await eventually(all_were_heard)
        await eventually(lambda: are_over(prometheus, "ApiDown"))
    finally:
        await asyncio.to_thread(part.__exit__, None, None, None)
    await eventually(lambda: are_heard(prometheus, "ApiDown"))
    await eventually(lambda: are_over(prometheus, *IN_TROUBLE))


def an_api(address: str) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=f"http://{address}", timeout=60)


async def test_a_worker_that_is_away_is_heard_of_and_so_is_what_waits_for_it(
    own: tuple[Resources, dict[str, str]], watched: Watched, prometheus: httpx.AsyncClient
) -> None:
    resources, _ = own
    alerts = ("WorkerDown", "EventsWait", "MailsWait")
    assert watched.courier is not None
    await kill(watched.courier)
    async with resources.sessions.begin() as session:
        await outbox.tell(session, "stock.out", "drill", NEWS)
        await session.execute(text("UPDATE outbox SET created_at = now() - interval '2 minutes' WHERE key = 'drill'"))
        await session.execute(text("UPDATE letters SET asked_at = now() - interval '20 minutes'"))
    await eventually(lambda: are_heard(prometheus, *alerts))

    await watched.start_courier(Queue.NOTIFICATIONS)
    await eventually(lambda: are_over(prometheus, *alerts))


NEWS = {"variant_id": uuid4(), "product_id": uuid4(), "sku": "drill", "available": 0, "low_stock": 5}


async def test_a_catalogue_that_answers_late_is_heard_of(
    shop: PrivateShop, own: tuple[Resources, dict[str, str]], prometheus: httpx.AsyncClient
) -> None:
    resources, _ = own

    async def all_wait() -> bool:
        async with resources.sessions.begin() as session:
            await session.execute(text("LOCK TABLE listed_products IN ACCESS EXCLUSIVE MODE"))
            looking = [asyncio.create_task(shop.http.get("/v1/products", params={"q": unique("Mug")})) for _ in "abc"]
            await eventually(lambda: has_lasted(session, 1))
        await asyncio.gather(*looking)
        return await are_heard(prometheus, "ReadsAreSlow")

    await eventually(all_wait)
    await eventually(lambda: are_over(prometheus, "ReadsAreSlow"))


async def has_lasted(session: AsyncSession, seconds: float) -> bool:
    """Has its transaction?"""
    ago = text("SELECT clock_timestamp() - now() > make_interval(secs => :seconds)")
    return bool(await session.scalar(ago, {"seconds": seconds}))


async def test_checkouts_that_wait_for_one_lock_are_heard_of_and_so_is_the_worker_that_has_no_hands_left(
    shop: PrivateShop, own: tuple[Resources, dict[str, str]], watched: Watched, prometheus: httpx.AsyncClient
) -> None:
    resources, _ = own
    product, so_far = await a_product(resources.sessions, price="10.00", stock=50), set[str]()
    shopper = Shopper(shop.http)

    async def were_heard() -> bool:
        so_far.update(await heard(prometheus) or set())
        return so_far >= NO_HANDS_LEFT

    async def all_wait_in_vain(session: AsyncSession) -> bool:
        await were_heard()
        return await has_lasted(session, 6)

    async def all_were_heard() -> bool:
        carts = [await shopper.a_cart((product.variant_id, 1)) for _ in range(5)]
        async with resources.sessions.begin() as session:
            await session.execute(
                text("SELECT FROM stock WHERE variant_id = :id FOR UPDATE"), {"id": product.variant_id}
            )
            buying = [asyncio.create_task(shopper.check_out(cart)) for cart in carts]
            await eventually(lambda: all_wait_in_vain(session))
        assert [answer.status_code for answer in await asyncio.gather(*buying)] == [201] * 5
        with suppress(TimeoutError):
            await eventually(were_heard, within=5)
        return so_far >= NO_HANDS_LEFT

    await watched.start_till(**FEW_HANDS)
    assert (await shopper.check_out(await shopper.a_cart((product.variant_id, 1)))).status_code == 201
    await eventually(all_were_heard, within=60)
    await watched.start_till()
    await eventually(lambda: are_over(prometheus, *NO_HANDS_LEFT))


NO_HANDS_LEFT = {"WorkerSlotsGone", "DatabaseConnectionsGone", "CheckoutsAreSlow", "TooFewWorkers"}
FEW_HANDS = {
    "APP_WORKERS__MAX_CONCURRENT_WORKFLOW_TASKS": "2",
    "APP_WORKERS__MAX_CONCURRENT_ACTIVITIES": "1",
    "APP_DATABASE__POOL_SIZE": "1",
}


async def test_stories_that_this_build_cannot_tell_are_heard_of(
    shop: PrivateShop, prometheus: httpx.AsyncClient, watched: Watched
) -> None:
    begun: list[WorkflowHandle[Any, Any]] = []

    async def one_more_was_heard() -> bool:
        untold = await shop.client.start_workflow(
            "Checkout", "of a later build", id=f"drill-{len(begun)}", task_queue=Queue.CHECKOUT
        )
        begun.append(untold)
        with suppress(TimeoutError):
            await eventually(lambda: are_heard(prometheus, "StoriesCannotGoOn"), within=3)
            return True
        return False

    await eventually(one_more_was_heard)
    await asyncio.gather(*(story.terminate() for story in begun))
    await eventually(lambda: are_over(prometheus, "StoriesCannotGoOn"))


async def test_webhook_endpoints_that_take_nothing_are_heard_of_and_so_is_what_waits_for_them(
    own: tuple[Resources, dict[str, str]], watched: Watched, prometheus: httpx.AsyncClient
) -> None:
    resources, _ = own

    async def tell() -> None:
        async with resources.sessions.begin() as session:
            await outbox.tell(session, "stock.out", "refused", NEWS)

    async def deliveries(change: str) -> bool:
        async with resources.sessions.begin() as session:
            changed = await session.execute(text(f"UPDATE webhook_deliveries SET {change} RETURNING id"))  # noqa: S608
            return len(changed.all()) == 1

    async with a_receiver(answers=lambda _: 500) as receiver:
        endpoint = await an_endpoint(resources, receiver.url, "stock.out")
        await tell()
        await eventually(lambda: deliveries("asked_at = now() - interval '20 minutes' WHERE failures > 0"))
        await eventually(lambda: are_heard(prometheus, "WebhooksWait"))

        tries = f"failures = {len(PAUSES)}, attempts = {len(PAUSES)}, next_attempt_at = now()"
        assert await deliveries(f"{tries} WHERE status = 'waiting'")
        await tell()
        await eventually(lambda: are_heard(prometheus, "WebhooksGivenUp"))
        receiver.answers = takes_all
        await eventually(lambda: are_over(prometheus, "WebhooksWait", "WebhooksGivenUp"))

        receiver.answers = lambda _: 410
        await tell()
        await eventually(lambda: are_heard(prometheus, "WebhookEndpointPaused"))
        receiver.answers = takes_all
        async with resources.sessions.begin() as session:
            await webhook_deliveries.ping(session, endpoint, SOURCE, datetime.now(UTC))
        await eventually(lambda: are_over(prometheus, "WebhookEndpointPaused"))


async def test_an_engine_out_of_reach_is_heard_of_and_so_is_what_it_could_not_be_told(
    shop: PrivateShop,
    own: tuple[Resources, dict[str, str]],
    watched: Watched,
    gate: Gate,
    prometheus: httpx.AsyncClient,
) -> None:
    resources, _ = own
    product, shopper = await a_product(resources.sessions, price="10.00", stock=3), Shopper(shop.http)
    cart = await shopper.a_cart((product.variant_id, 1))
    order = (await shopper.check_out(cart, card=AT_THE_BANK)).json()
    event = about(order["payment"]["provider_reference"], await payment_of(resources, order), AUTHORIZED)
    await gate.close()
    try:
        assert (await deliver(shop.http, event)).status_code == 200
        async with resources.sessions.begin() as session:
            await session.execute(LONG_AGO, {"id": event["id"]})
        await eventually(lambda: are_heard(prometheus, "ProviderEventsWait"))
        await eventually(lambda: are_heard(prometheus, "EngineRefuses"))
    finally:
        await gate.open()
    await eventually(lambda: are_over(prometheus, "ProviderEventsWait", "EngineRefuses"))


LONG_AGO = text("UPDATE webhook_events SET received_at = now() - interval '2 minutes' WHERE event_id = :id")


async def test_a_replica_that_does_not_keep_up_is_heard_of(reader: Reader, prometheus: httpx.AsyncClient) -> None:
    await eventually(lambda: are_heard(prometheus, "ReplicaBehind"), within=60)
    await reader.copy.let_go_on()
    await eventually(lambda: are_over(prometheus, "ReplicaBehind"))
