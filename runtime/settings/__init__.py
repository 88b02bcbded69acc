"""Every setting of every process, from the environment (prefix ``APP_``, nested with ``__``).

Where ``APP_SECRETS_DIR`` names a folder, as orchestrators mount secrets, each of its files named like a variable holds
that variable's value; the environment goes first.

A wrong value refuses to start and says which variable is wrong. Inner code never sees this module: it receives
the values it needs.
"""

import os
from collections.abc import Iterator
from enum import StrEnum
from typing import Self

from pydantic import SecretStr, model_validator
from pydantic_settings import (
    BaseSettings,
    NestedSecretsSettingsSource,
    PydanticBaseSettingsSource,
    SecretsSettingsSource,
    SettingsConfigDict,
)

from domain.deadlines import Term
from domain.events import Destination
from domain.limits import EXACT, ONE_MACHINE, Quota
from domain.telemetry import LogLevel
from runtime.encryption_keys import keys_in
from runtime.settings.api import Api, AtOnce, Limits
from runtime.settings.cache import Cache
from runtime.settings.database import Database
from runtime.settings.development import DEVELOPMENT_SECRETS, Demo, Sandbox
from runtime.settings.events import Events, Webhooks
from runtime.settings.identity import Auth
from runtime.settings.mail import Mail
from runtime.settings.payments import EXAMPLE_ACCOUNT, Payments
from runtime.settings.section import Section
from runtime.settings.shipping import Carriers
from runtime.settings.shop import Carts, Catalog, Shop
from runtime.settings.taxes import Tax
from runtime.settings.telemetry import Telemetry
from runtime.settings.workers import Operations, Temporal, Workers

__all__ = [
    "SECRETS_DIR",
    "Api",
    "AtOnce",
    "Auth",
    "Cache",
    "Carriers",
    "Carts",
    "Catalog",
    "Database",
    "Demo",
    "Environment",
    "Events",
    "Limits",
    "Mail",
    "Operations",
    "Payments",
    "Sandbox",
    "Settings",
    "Shop",
    "Tax",
    "Telemetry",
    "Temporal",
    "Webhooks",
    "Workers",
    "secret_files",
]

SECRETS_DIR = "APP_SECRETS_DIR"


class Environment(StrEnum):
    DEVELOPMENT = "development"
    TEST = "test"
    PRODUCTION = "production"


def secret_files(settings: type[BaseSettings]) -> NestedSecretsSettingsSource | None:
    """The values that orchestrators have mounted as files, if they have."""
    folder = os.environ.get(SECRETS_DIR)
    if not folder:
        return None
    return NestedSecretsSettingsSource(
        SecretsSettingsSource(settings),
        secrets_dir=folder,
        secrets_dir_missing="error",
        secrets_prefix="APP_",
        secrets_nested_delimiter="__",
    )


class Settings(BaseSettings):
    model_config = SettingsConfigDict(
        env_prefix="APP_",
        env_nested_delimiter="__",
        env_nested_max_split=1,
        frozen=True,
        extra="forbid",
        hide_input_in_errors=True,  # which may be a secret
        use_attribute_docstrings=True,
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        files = secret_files(settings_cls)
        return (init_settings, env_settings, files) if files else (init_settings, env_settings)

    env: Environment = Environment.DEVELOPMENT
    """What this shop is for; `production` refuses what is only good enough for a developer's machine."""
    log_level: LogLevel = LogLevel.INFO
    """What is logged at least; it can be changed while the shop runs (`PUT /v1/admin/log-level`)."""
    database: Database = Database()
    cache: Cache = Cache()
    temporal: Temporal = Temporal()
    payments: Payments = Payments()
    mail: Mail = Mail()
    auth: Auth = Auth()
    shop: Shop = Shop()
    carts: Carts = Carts()
    tax: Tax = Tax()
    api: Api = Api()
    at_once: AtOnce = AtOnce()
    limits: Limits = Limits()
    workers: Workers = Workers()
    operations: Operations = Operations()
    catalog: Catalog = Catalog()
    events: Events = Events()
    webhooks: Webhooks = Webhooks()
    carriers: Carriers = Carriers()
    telemetry: Telemetry = Telemetry()
    sandbox: Sandbox = Sandbox()
    demo: Demo = Demo()

    @property
    def staff_needs_second_factor(self) -> bool:
        chosen = self.auth.staff_needs_second_factor
        return self.env is Environment.PRODUCTION if chosen is None else chosen

    @property
    def leave_seconds(self) -> float:
        in_production = 5.0 if self.env is Environment.PRODUCTION else 0.0
        return in_production if self.api.leave_seconds is None else self.api.leave_seconds

    @property
    def transfer_to(self) -> str | None:
        """Where customers send bank transfers to; ``None`` when the shop takes none."""
        if self.env is Environment.PRODUCTION and self.payments.transfer_to == EXAMPLE_ACCOUNT:
            return None
        return self.payments.transfer_to or None

    @property
    def event_source(self) -> str:
        return self.events.source or self.shop.public_url

    @property
    def transfer_term(self) -> Term:
        """How long an order waits for its bank transfer."""
        return Term(days=self.payments.transfer_days, zone=self.shop.zone)

    @property
    def quotas(self) -> dict[str, Quota]:
        """The limits by name. Only outside production they are wide when nothing was set."""
        return {**(EXACT if self.env is Environment.PRODUCTION else ONE_MACHINE), **self.limits.chosen}

    @property
    def wrong_passwords_from_an_address(self) -> int:
        return self.limits.wrong_passwords_address or (20 if self.env is Environment.PRODUCTION else 1_000_000)

    @model_validator(mode="after")
    def go_together(self) -> Self:
        """Whatever does not is told at once, a line each."""
        if broken := list(self.broken_rules()):
            raise ValueError("\n".join(broken))
        return self

    def broken_rules(self) -> Iterator[str]:
        if (self.workers.deployment is None) is not (self.workers.build_id is None):
            yield "APP_WORKERS__DEPLOYMENT and APP_WORKERS__BUILD_ID belong together: set both, or none"
        if self.workers.breakpoints is not None and self.env is not Environment.TEST:
            yield "APP_WORKERS__BREAKPOINTS stops orders at every step; it is possible with APP_ENV=test only"
        try:
            keys = keys_in(self.temporal.encryption_keys.get_secret_value())
        except ValueError as error:
            yield f"APP_TEMPORAL__ENCRYPTION_KEYS: {error}"
        else:
            if self.env is Environment.PRODUCTION and not keys:
                yield "APP_TEMPORAL__ENCRYPTION_KEYS is empty; production encrypts what goes to the engine"
        if self.env is Environment.PRODUCTION:
            yield from self._secrets_of_development()
            yield from self._reached_without_tls()
            yield from self._told_twice_or_to_everybody()

    def _secrets_of_development(self) -> Iterator[str]:
        for name, section in self:
            if not isinstance(section, Section) or isinstance(section, Demo):
                continue
            for field, value in section:
                of_development = type(section).model_fields[field].default
                if not isinstance(value, SecretStr) or not value.get_secret_value():
                    continue
                if value == of_development or value.get_secret_value() in DEVELOPMENT_SECRETS:
                    yield (
                        f"APP_{name.upper()}__{field.upper()} still has its development value; "
                        "set your own before production"
                    )

    def _reached_without_tls(self) -> Iterator[str]:
        if not self.payments.stripe_api_base.startswith("https:"):
            yield "APP_PAYMENTS__STRIPE_API_BASE is not reached by https; production does not pay there"
        if self.carriers.easypost_api_key and not self.carriers.easypost_api_base.startswith("https:"):
            yield "APP_CARRIERS__EASYPOST_API_BASE is not reached by https; production tells nobody's address there"
        url = self.auth.stolen_passwords_url
        if url and not url.startswith("https:"):
            yield "APP_AUTH__STOLEN_PASSWORDS_URL is not reached by https; production asks nobody there"

    def _told_twice_or_to_everybody(self) -> Iterator[str]:
        events = self.events
        if events.destination is Destination.KAFKA:
            if not events.kafka_is_idempotent:
                yield "APP_EVENTS__KAFKA_IS_IDEMPOTENT is false; production does not tell events twice"
            if (events.kafka_security, events.kafka_mechanism) == ("SASL_PLAINTEXT", "PLAIN"):
                yield "APP_EVENTS__KAFKA_PASSWORD would be sent to brokers for everybody to read; use SASL_SSL"
