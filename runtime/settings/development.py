"""What only a developer's machine has."""

from pathlib import Path

from pydantic import SecretStr

from runtime.settings.section import Port, Section

DEVELOPMENT_SECRETS = frozenset({"sk_test_sutler", "whsec_sutler", "sutler-demo-1", "EZTKsutler", "easypost-sutler"})


class Sandbox(Section):
    """What stands in for the payment provider, the carrier and the mail server on a developer's machine."""

    host: str = "127.0.0.1"
    """The address on which it listens."""
    port: Port = 8090
    """Where it answers as Stripe and EasyPost do."""
    smtp_port: Port = 8025
    """Where it takes mail."""
    database: Path = Path(".sutler/sandbox.sqlite3")
    """Where the sandbox keeps its payments, mails and ledger."""
    webhook_url: str = "http://127.0.0.1:8080/v1/webhooks/stripe"
    """Where the sandbox sends its signed webhooks."""
    carrier_webhook_url: str = "http://127.0.0.1:8080/v1/webhooks/easypost"
    """Where it tells of parcels, as EasyPost does."""
    webhook_events: tuple[str, ...] = (
        "payment_intent.amount_capturable_updated",
        "payment_intent.succeeded",
        "payment_intent.payment_failed",
        "payment_intent.canceled",
        "charge.dispute.created",
        "charge.dispute.updated",
        "charge.dispute.closed",
    )
    """What the shop's endpoint listens to, as one chooses it in Stripe's dashboard; ``*`` for everything."""


class Demo(Section):
    """The accounts of `sutler accounts demo`."""

    password: SecretStr = SecretStr("sutler-demo-1")
    """Password of the two demo accounts; none is made in production."""
