"""Where the development stack keeps its data and where it listens.

``sutler up`` has one scheme: ``APP_UP__DATA_DIR`` and one ``APP_UP__…_PORT`` per port, below. From these it derives
every other ``APP_`` variable that tells the processes where to find each other (``APP_DATABASE__URL``,
``APP_API__PORT``, …) and overrides them; all others, such as ``APP_LOG_LEVEL``, reach the processes unchanged.
Everything listens on 127.0.0.1 only.

What starts the servers is imported where it is needed: production has none of it, and still its operators' commands.
"""

from pathlib import Path
from typing import Annotated

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

HOST = "127.0.0.1"
PREFIX = "APP_UP__"

BEHIND_A_GATEWAY = {
    "APP_API__LEAVE_SECONDS": "2",
    "APP_API__GATEWAY_SECONDS": "1",
    "APP_LIMITS__TRUSTED_PROXIES": '["127.0.0.0/8"]',
}
"""What API processes have to know of it."""

Port = Annotated[int, Field(ge=1, le=65535)]


class UpSettings(BaseSettings):
    """Read from the environment, prefix ``APP_UP__``."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="forbid", use_attribute_docstrings=True)

    data_dir: Path = Path(".sutler")
    """Everything that the stack keeps, logs included."""
    gateway: bool = False
    """Put Nginx and Envoy in front of two API processes, as in production."""
    gateway_port: Port = 8000
    """Nginx answers here."""
    gateway_tls_port: Port = 8443
    """And here by TLS."""
    envoy_port: Port = 8001
    """Envoy answers Nginx here."""
    envoy_metrics_port: Port = 9901
    """What Envoy counts is read here."""
    second_api_port: Port = 8081
    """The second API process, which there is behind the gateway, listens here."""
    api_port: Port = 8080
    """The API listens here."""
    sandbox_port: Port = 8090
    """The sandbox stands in for the payment provider here."""
    smtp_port: Port = 8025
    """The sandbox takes mail here."""
    temporal_port: Port = 7233
    """Temporal answers here."""
    temporal_http_port: Port = 7243
    """And here by HTTP."""
    web_ui_port: Port = 8233
    """Temporal's Web UI is here."""
    postgres_port: Port = 54329
    """PostgreSQL listens here."""
    valkey_port: Port = 63799
    """Valkey listens here."""

    @property
    def directory(self) -> Path:
        """The data directory as an absolute path."""
        return self.data_dir.expanduser().resolve()

    @property
    def api_url(self) -> str:
        return f"http://{HOST}:{self.api_port}"

    @property
    def second_api_url(self) -> str:
        return f"http://{HOST}:{self.second_api_port}"

    @property
    def public_url(self) -> str:
        """Where customers reach the shop."""
        return f"http://{HOST}:{self.gateway_port}" if self.gateway else self.api_url

    @property
    def sandbox_url(self) -> str:
        return f"http://{HOST}:{self.sandbox_port}"

    @property
    def web_ui_url(self) -> str:
        return f"http://{HOST}:{self.web_ui_port}"

    @property
    def temporal_address(self) -> str:
        return f"{HOST}:{self.temporal_port}"

    def ports(self) -> dict[str, tuple[int, str]]:
        """Each port with what it is for, by the variable that sets it."""
        of_the_gateway = (
            ("gateway_port", self.gateway_port, "the gateway"),
            ("gateway_tls_port", self.gateway_tls_port, "the gateway's TLS"),
            ("envoy_port", self.envoy_port, "Envoy"),
            ("envoy_metrics_port", self.envoy_metrics_port, "Envoy's metrics"),
            ("second_api_port", self.second_api_port, "the second API process"),
        )
        return {
            f"{PREFIX}{name.upper()}": (port, purpose)
            for name, port, purpose in (
                ("api_port", self.api_port, "the API"),
                ("sandbox_port", self.sandbox_port, "the sandbox"),
                ("smtp_port", self.smtp_port, "the sandbox's mail server"),
                ("temporal_port", self.temporal_port, "Temporal"),
                ("temporal_http_port", self.temporal_http_port, "Temporal's HTTP API"),
                ("web_ui_port", self.web_ui_port, "Temporal's Web UI"),
                ("postgres_port", self.postgres_port, "PostgreSQL"),
                ("valkey_port", self.valkey_port, "Valkey"),
                *(of_the_gateway if self.gateway else ()),
            )
        }

    def owner_environment(self) -> dict[str, str]:
        """What migrations need besides: no other process can change a table."""
        from deploy.embedded.postgres import owner_environment

        return owner_environment(self.postgres_port)

    def environment(self) -> dict[str, str]:
        """What every process of the stack needs in order to find the others."""
        from deploy.embedded.postgres import app_environment
        from deploy.embedded.valkey import cache_url

        return {
            **app_environment(self.postgres_port),
            "APP_CACHE__URL": cache_url(self.valkey_port),
            "APP_TEMPORAL__ADDRESS": self.temporal_address,
            "APP_TEMPORAL__UI_URL": self.web_ui_url,
            "APP_PAYMENTS__STRIPE_API_BASE": self.sandbox_url,
            "APP_CARRIERS__EASYPOST_API_BASE": f"{self.sandbox_url}/v2",
            "APP_CARRIERS__EASYPOST_API_KEY": "EZTKsutler",
            "APP_CARRIERS__EASYPOST_WEBHOOK_SECRET": "easypost-sutler",
            "APP_MAIL__HOST": HOST,
            "APP_MAIL__PORT": str(self.smtp_port),
            "APP_AUTH__SIGNING_KEY_FILE": str(self.directory / "signing-key.pem"),
            "APP_AUTH__SEALING_KEY_FILE": str(self.directory / "sealing-key"),
            "APP_AUTH__STOLEN_PASSWORDS_URL": self.sandbox_url,
            "APP_SHOP__PUBLIC_URL": self.public_url,
            "APP_API__HOST": HOST,
            "APP_API__PORT": str(self.api_port),
            "APP_SANDBOX__HOST": HOST,
            "APP_SANDBOX__PORT": str(self.sandbox_port),
            "APP_SANDBOX__SMTP_PORT": str(self.smtp_port),
            "APP_SANDBOX__DATABASE": str(self.directory / "sandbox.sqlite3"),
            "APP_SANDBOX__WEBHOOK_URL": f"{self.public_url}/v1/webhooks/stripe",
            "APP_SANDBOX__CARRIER_WEBHOOK_URL": f"{self.public_url}/v1/webhooks/easypost",
            **(BEHIND_A_GATEWAY if self.gateway else {}),
        }
