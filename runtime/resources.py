"""What a process opens at its start and closes at its end."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, nullcontext
from dataclasses import dataclass
from functools import cached_property

from prometheus_client import Gauge
from pydantic import SecretStr
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from sqlalchemy import QueuePool
from sqlalchemy.ext.asyncio import AsyncEngine
from temporalio.client import Client

from db.deny_list import DenyList
from db.engine import NEVER, Sessions, TimeLimits, autocommitting, connect, sessions_of
from db.replica import Replica
from domain.taxes import TaxMode
from providers.carriers import (
    CARRIER_SILENCE,
    Carrier,
    CarrierMessages,
    EasyPostMessages,
    ManualCarrier,
    easypost_carrier,
)
from providers.mail.smtp import SmtpMailer
from providers.payments import PROVIDER_SILENCE, PaymentProvider, open_provider
from providers.stolen_passwords import ListSilent, NoList, PwnedPasswords, StolenPasswords
from providers.taxes import NoTaxProvider, TaxProvider, stripe_taxes
from runtime import temporal
from runtime.breaker import SILENCE, Breaker, WatchedRedis
from runtime.guesses import Guesses, OwnCounts, SharedCounts
from runtime.keys import signing_keys
from runtime.outgoing import Partner
from runtime.passwords import Passwords
from runtime.sealing import Seal, seal_with
from runtime.settings import Environment, Settings
from runtime.tokens import Tokens
from runtime.tracing import is_tracing
from runtime.webhooks import Postman

CONNECTIONS = Gauge(
    "sutler_database_connections", "This process's connections to Postgres: in use, and at most", ["state"]
)


@dataclass(frozen=True, kw_only=True)
class Resources:
    settings: Settings
    engine: AsyncEngine
    sessions: Sessions
    autocommit: Sessions
    replica: Replica | None
    """Nobody follows it but the API, which reads the catalogue from it."""
    redis: WatchedRedis
    temporal: Client
    payments: PaymentProvider
    taxes: TaxProvider
    mailer: SmtpMailer
    carrier: Carrier
    """Who is asked about parcels."""
    carriers: Mapping[str, CarrierMessages]
    """Those that tell how far parcels are, by their names."""
    passwords: Passwords
    deny_list: DenyList

    @cached_property
    def tokens(self) -> Tokens:
        """Raises ``SigningKeyError`` in production when there is no key; elsewhere the first process makes one."""
        auth = self.settings.auth
        return Tokens(
            keys=signing_keys(auth.signing_key_file, may_be_made=self.settings.env is not Environment.PRODUCTION).read,
            issuer=auth.issuer,
            access_seconds=auth.access_token_seconds,
            verification_hours=auth.verification_hours,
        )

    @cached_property
    def guesses(self) -> Guesses:
        settings = self.settings
        longest = settings.limits.longest_delay_seconds
        return Guesses(
            SharedCounts(self.redis, prefix=settings.cache.prefix, longest_delay=longest),
            OwnCounts(longest_delay=longest),
            tokens=self.tokens,
            free=settings.limits.wrong_passwords,
            free_for_address=settings.wrong_passwords_from_an_address,
        )

    @cached_property
    def seal(self) -> Seal:
        """Raises ``SealingKeyError`` in production when there is no key; elsewhere the first process makes one."""
        return seal_with(
            self.settings.auth.sealing_key_file, may_be_made=self.settings.env is not Environment.PRODUCTION
        )

    @cached_property
    def postman(self) -> Postman:
        """Who sends events to webhook endpoints: only in production these have to be in the internet."""
        return Postman(
            self.seal,
            seconds=self.settings.webhooks.timeout_seconds,
            is_internet=self.settings.env is Environment.PRODUCTION,
        )


def connected(
    settings: Settings, url: SecretStr, limits: TimeLimits = NEVER
) -> AbstractAsyncContextManager[AsyncEngine]:
    return connect(
        url.get_secret_value(),
        shop_schema=settings.database.shop_schema,
        pool_size=settings.database.pool_size,
        pool_wait_seconds=settings.database.pool_wait_seconds,
        stock=settings.shop.stock_rules,
        country=settings.shop.country,
        taxes=settings.tax.policy,
        limits=limits,
        is_traced=is_tracing(),
    )


def measure_connections(resources: Resources) -> None:
    pool = resources.engine.pool
    if isinstance(pool, QueuePool):
        CONNECTIONS.labels("in_use").set(pool.checkedout())
        CONNECTIONS.labels("most").set(pool.size())


def listened_to(settings: Settings) -> dict[str, CarrierMessages]:
    secret = settings.carriers.easypost_webhook_secret
    return {EasyPostMessages.name: EasyPostMessages(secret)} if secret else {}


def carrier_asked(settings: Settings) -> AbstractAsyncContextManager[Carrier]:
    carriers = settings.carriers
    if not carriers.easypost_api_key:
        return nullcontext(ManualCarrier())
    return easypost_carrier(
        api_base=carriers.easypost_api_base,
        api_key=carriers.easypost_api_key.get_secret_value(),
        timeout_seconds=carriers.timeout_seconds,
        guard=Breaker(
            "carriers",
            silence=CARRIER_SILENCE,
            failures=carriers.breaker_failures,
            cool_down=carriers.breaker_seconds,
        ).watched,
    )


def list_of_stolen_passwords(settings: Settings) -> StolenPasswords:
    auth = settings.auth
    if not auth.stolen_passwords_url:
        return NoList()
    partner = Partner(
        url=auth.stolen_passwords_url,
        seconds=auth.stolen_passwords_seconds,
        is_internet=settings.env is Environment.PRODUCTION,
    )
    return PwnedPasswords(
        partner.ask, Breaker("stolen_passwords", silence=(ListSilent,), failures=3, cool_down=10).watched
    )


def tax_provider(settings: Settings) -> AbstractAsyncContextManager[TaxProvider]:
    tax, partner = settings.tax, settings.payments
    if tax.mode is not TaxMode.PROVIDER:
        return nullcontext(NoTaxProvider())
    return stripe_taxes(
        api_base=partner.stripe_api_base,
        api_key=partner.stripe_api_key.get_secret_value(),
        codes=tax.all_codes,
        timeout_seconds=tax.timeout_seconds,
        guard=Breaker(
            "taxes", silence=PROVIDER_SILENCE, failures=tax.breaker_failures, cool_down=tax.breaker_seconds
        ).watched,
    )


def opened_for_requests(settings: Settings) -> AbstractAsyncContextManager[Resources]:
    """All resources of an API process, where somebody waits for each statement."""
    return _opened(settings, settings.database.limits_of_requests)


def opened(settings: Settings) -> AbstractAsyncContextManager[Resources]:
    """All resources of a worker, where nobody does; nothing connects before it is used."""
    return _opened(settings, settings.database.limits_of_activities)


@asynccontextmanager
async def _opened(settings: Settings, limits: TimeLimits) -> AsyncIterator[Resources]:
    async with AsyncExitStack() as stack:
        database, cache, mail = settings.database, settings.cache, settings.mail
        engine = await stack.enter_async_context(connected(settings, database.url, limits))
        redis = WatchedRedis.behind(
            Breaker("valkey", silence=SILENCE, failures=cache.breaker_failures, cool_down=cache.breaker_seconds),
            cache.url.get_secret_value(),
            socket_timeout=cache.timeout_seconds,
            socket_connect_timeout=cache.timeout_seconds,
            # One more try meets a connection that went stale. The client's own ten would keep requests waiting that
            # can be answered without Valkey.
            retry=Retry(NoBackoff(), 1),
        )
        stack.push_async_callback(redis.aclose)
        provider = await stack.enter_async_context(
            open_provider(
                settings.payments.provider,
                api_base=settings.payments.stripe_api_base,
                api_key=settings.payments.stripe_api_key.get_secret_value(),
                webhook_secret=settings.payments.stripe_webhook_secret.get_secret_value(),
                return_url=settings.shop.public_url,
                timeout_seconds=settings.payments.timeout_seconds,
                guard=Breaker(
                    "payments",
                    silence=PROVIDER_SILENCE,
                    failures=settings.payments.breaker_failures,
                    cool_down=settings.payments.breaker_seconds,
                ).watched,
            )
        )
        passwords = Passwords(list_of_stolen_passwords(settings))
        stack.callback(passwords.close)
        sessions = sessions_of(engine)
        replica = None
        if database.replica_url is not None:
            copy = await stack.enter_async_context(connected(settings, database.replica_url, limits))
            replica = Replica(autocommitting(copy), primary=autocommitting(engine))
        mailer = SmtpMailer(
            host=mail.host,
            port=mail.port,
            sender=mail.sender,
            username=mail.username,
            password=mail.password.get_secret_value() if mail.password else None,
            tls=mail.tls,
            ca_file=mail.ca_file,
        )
        stack.push_async_callback(mailer.aclose)
        yield Resources(
            settings=settings,
            engine=engine,
            sessions=sessions,
            autocommit=autocommitting(engine),
            replica=replica,
            redis=redis,
            passwords=passwords,
            deny_list=DenyList(
                redis, sessions, prefix=settings.cache.prefix, access_seconds=settings.auth.access_token_seconds
            ),
            temporal=await temporal.connect(settings.temporal),
            payments=provider,
            taxes=await stack.enter_async_context(tax_provider(settings)),
            mailer=mailer,
            carrier=await stack.enter_async_context(carrier_asked(settings)),
            carriers=listened_to(settings),
        )
