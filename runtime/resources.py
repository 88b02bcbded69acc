"""What a process opens at its start and closes at its end."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncEngine
from temporalio.client import Client

from db.engine import Sessions, connect, sessions_of
from providers.mail.smtp import SmtpMailer
from providers.payments import PaymentProvider, open_provider
from runtime import temporal
from runtime.settings import Settings


@dataclass(frozen=True, kw_only=True)
class Resources:
    settings: Settings
    engine: AsyncEngine
    sessions: Sessions
    redis: Redis
    temporal: Client
    payments: PaymentProvider
    mailer: SmtpMailer


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[Resources]:
    """All resources of a process; nothing connects before it is used."""
    async with AsyncExitStack() as stack:
        database, mail = settings.database, settings.mail
        engine = await stack.enter_async_context(
            connect(
                database.url.get_secret_value(),
                shop_schema=database.shop_schema,
                pool_size=database.pool_size,
                pool_wait_seconds=database.pool_wait_seconds,
            )
        )
        redis = Redis.from_url(settings.cache.url.get_secret_value(), socket_timeout=1.0, socket_connect_timeout=1.0)
        stack.push_async_callback(redis.aclose)
        provider = await stack.enter_async_context(
            open_provider(
                settings.payments.provider,
                api_base=settings.payments.stripe_api_base,
                api_key=settings.payments.stripe_api_key.get_secret_value(),
                webhook_secret=settings.payments.stripe_webhook_secret.get_secret_value(),
                timeout_seconds=settings.payments.timeout_seconds,
            )
        )
        yield Resources(
            settings=settings,
            engine=engine,
            sessions=sessions_of(engine),
            redis=redis,
            temporal=await temporal.connect(settings.temporal.address, settings.temporal.namespace),
            payments=provider,
            mailer=SmtpMailer(
                host=mail.host,
                port=mail.port,
                sender=mail.sender,
                username=mail.username,
                password=mail.password.get_secret_value() if mail.password else None,
                start_tls=mail.start_tls,
            ),
        )
