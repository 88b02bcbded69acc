"""The HTTP API, put together."""

import asyncio
import gc
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from datetime import timedelta
from typing import Any

import structlog
from litestar import Litestar
from litestar.datastructures import State
from litestar.di import Provide
from litestar.plugins.pydantic import PydanticPlugin

from api.auth import permitted, provide_caller, routes_of
from api.bodies import ShallowRequest, discarding, hurrying
from api.browsers import Browsers
from api.catalog_cache import CatalogCache
from api.catalog_clock import keep_time
from api.conditional import ask_again_after
from api.documentation import openapi
from api.errors import EXCEPTION_HANDLERS
from api.following import Followers
from api.hot_answers import HotAnswers
from api.hot_variants import admission_gate, keep_right
from api.idempotency import provide_once
from api.inbox import forget_the_old, see_to_the_unheard
from api.intake import see_to_the_unstarted
from api.leaving import Leaving
from api.limiting import Doorway
from api.limits import LimitsInForce
from api.maintenance import Doors, MaintenanceInForce
from api.metrics import counting
from api.profiles import Profiles, account_news
from api.routes import HANDLERS
from api.shedding import shedding
from api.stories import Stories
from api.tracing import RequestSpans, tracing
from db.admissions import AdmissionGate
from db.catalog_news import catalog_news
from db.hot_variants import hot_news
from db.limits import limit_news
from db.listening import Listening
from db.log_level import log_level_news
from db.maintenance import maintenance_news
from db.waiting import ended
from db.watched_orders import order_news
from domain.limits import Kind
from runtime.addresses import Addresses
from runtime.cache.shared import SharedCache
from runtime.limiter import Limiter
from runtime.log_level import LevelInForce
from runtime.resources import Resources, opened_for_requests
from runtime.settings import Settings
from runtime.telemetry import configure_logging
from runtime.tracing import begin, told_to_the_end
from runtime.windows import SharedWindows

log = structlog.get_logger()

BODIES = PydanticPlugin(validate_strict=None)  # type: ignore[arg-type]
"""``None`` leaves it to each field whether it is strict; Litestar's ``False`` overrules fields that are."""


async def provide_resources(state: State) -> Resources:
    return state.resources  # type: ignore[no-any-return]


async def provide_stories(state: State) -> Stories:
    return state.stories  # type: ignore[no-any-return]


async def provide_catalog(state: State) -> CatalogCache:
    return state.catalog  # type: ignore[no-any-return]


async def provide_gate(state: State) -> AdmissionGate:
    return state.gate  # type: ignore[no-any-return]


async def provide_followers(state: State) -> Followers:
    return state.followers  # type: ignore[no-any-return]


async def provide_leaving(state: State) -> Leaving:
    return state.leaving  # type: ignore[no-any-return]


async def provide_profiles(state: State) -> Profiles:
    return state.profiles  # type: ignore[no-any-return]


def catalog_cache(resources: Resources) -> CatalogCache:
    settings = resources.settings.cache
    shared = SharedCache(resources.redis, prefix=f"{settings.prefix}catalog:", seconds=settings.product_seconds)
    return CatalogCache(
        resources.sessions,
        shared,
        replica=resources.replica,
        languages=resources.settings.shop.spoken,
        seconds=settings.product_seconds,
        most_bytes=settings.memory_megabytes * 1_000_000 * 3 // 4,
    )


def profiles_of(resources: Resources) -> Profiles:
    settings = resources.settings.cache
    shared = SharedCache(resources.redis, prefix=f"{settings.prefix}accounts:", seconds=settings.user_seconds)
    return Profiles(resources.autocommit, shared)


def followers_of(resources: Resources) -> Followers:
    settings = resources.settings.api
    return Followers(
        resources.autocommit,
        most_of_caller=settings.streams_per_caller,
        longest=timedelta(seconds=settings.stream_seconds),
        longest_silence=timedelta(seconds=settings.stream_silence_seconds),
    )


def create_app(
    settings: Settings,
    open_resources: Callable[[Settings], AbstractAsyncContextManager[Resources]] = opened_for_requests,
) -> Litestar:
    """The whole API; resources are opened when the server starts and closed when it stops."""
    traces = begin(settings, "api", begins_traces=True)
    telemetry = settings.telemetry
    ready_ratio = min(telemetry.sample_ratio, telemetry.ready_sample_ratio)
    spans = RequestSpans(traces, ready_ratio=ready_ratio) if traces else None
    doorway = Doorway(Limiter(settings.quotas), Addresses(settings.limits.trusted_proxies))
    doors = Doors()

    @asynccontextmanager
    async def lifespan(app: Litestar) -> AsyncIterator[None]:
        async with told_to_the_end(traces), AsyncExitStack() as stack:
            app.state.resources = resources = await stack.enter_async_context(open_resources(settings))
            doorway.limiter.share(SharedWindows(resources.redis, prefix=settings.cache.prefix))
            log.info("limits", **{name: str(quota) for name, quota in settings.quotas.items()})
            app.state.tokens = resources.tokens
            resources.seal  # noqa: B018 (a missing key is noticed now, not by the first who needs it)
            app.state.deny_list = resources.deny_list
            app.state.catalog = catalog = catalog_cache(resources)
            app.state.gate = gate = await stack.enter_async_context(admission_gate(resources))
            app.state.profiles = profiles = profiles_of(resources)
            app.state.followers = followers = followers_of(resources)
            limits = LimitsInForce(resources, doorway)
            level = LevelInForce(resources.autocommit, settings.log_level)
            maintenance = MaintenanceInForce(resources.autocommit, doors)
            shop = settings.database.shop_schema
            news = Listening(
                resources.engine.url,
                catalog_news(shop, [catalog, gate]),
                hot_news(shop, [gate]),
                account_news(shop, [profiles]),
                limit_news(shop, [limits]),
                order_news(shop, [followers]),
                log_level_news(shop, [level]),
                maintenance_news(shop, [maintenance]),
            )
            listening = asyncio.create_task(news.run())
            counting_units = asyncio.create_task(keep_right(gate))
            keeping_time = asyncio.create_task(keep_time(catalog, resources.sessions))
            app.state.stories = Stories(
                resources.temporal, resources.autocommit, wait_seconds=settings.api.checkout_wait_seconds
            )
            following_orders = asyncio.create_task(followers.keep_looking())
            following_changes = [asyncio.create_task(it.follow()) for it in (limits, level, maintenance)]
            following = [asyncio.create_task(resources.replica.follow())] if resources.replica else []
            forgetting = asyncio.create_task(forget_the_old(resources))
            seeing_to = [
                asyncio.create_task(see_to(resources, app.state.stories))
                for see_to in (see_to_the_unstarted, see_to_the_unheard)
            ]
            try:
                yield
            finally:
                await ended(
                    *(listening, counting_units, keeping_time, following_orders),
                    *(*following_changes, *following, *seeing_to, forgetting),
                )

    app = Litestar(
        route_handlers=HANDLERS,
        lifespan=[lifespan],
        dependencies={
            "resources": Provide(provide_resources),
            "stories": Provide(provide_stories),
            "caller": Provide(provide_caller),
            "catalog": Provide(provide_catalog),
            "profiles": Provide(provide_profiles),
            "gate": Provide(provide_gate),
            "followers": Provide(provide_followers),
            "leaving": Provide(provide_leaving),
            "once": Provide(provide_once),
        },
        guards=[permitted],
        exception_handlers=EXCEPTION_HANDLERS,
        request_class=ShallowRequest,
        request_max_body_size=settings.api.max_body_bytes,
        openapi_config=openapi(settings.shop.name),
        plugins=[BODIES],
        debug=False,
    )
    routes_of(app)  # refuses to start when a route names no permission
    # Around the whole application rather than its middleware, which addresses that lead nowhere do not pass.
    bodies = hurrying(
        discarding(app.asgi_handler),
        pause_seconds=settings.api.body_pause_seconds,
        whole_seconds=settings.api.body_seconds,
    )
    at_once = {Kind(kind): most for kind, most in settings.at_once.model_dump().items()}
    app.state.browsers = browsers = Browsers(
        is_https=settings.shop.public_url.startswith("https:"), origins=settings.api.cors_origins
    )
    app.asgi_handler = browsers.around(
        tracing(counting(doorway.around(doors.around(shedding(bodies, at_once)))), spans)
    )
    app.state.spans = spans
    app.state.doorway = doorway
    app.state.catalogue_cache_control = ask_again_after(settings.api.gateway_seconds)
    app.state.leaving = Leaving(settings.leave_seconds)
    return app


def leave_the_long_lived_alone() -> None:
    """Garbage is looked for among what requests leave behind, and more rarely.

    What is here by now stays: looking through all of it again and again takes longer than answering, and each time
    everybody waits.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 10, 10)


def application() -> Any:
    """What the server imports: the API with the settings of the environment."""
    settings = Settings()
    configure_logging(settings.log_level)
    app = create_app(settings)
    app.on_startup.append(leave_the_long_lived_alone)
    return HotAnswers(
        app,
        app.state.doorway,
        app.state.browsers,
        app.state.leaving,
        languages=settings.shop.spoken,
        most_bytes=settings.cache.memory_megabytes * 1_000_000 // 4,
        spans=app.state.spans,
    )
