"""Settings that mean something else where real money is."""

import base64

import pytest

from runtime.settings import Settings


@pytest.fixture
def production(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("APP_ENV", "production")
    monkeypatch.setenv("APP_PAYMENTS__STRIPE_API_KEY", "sk_live_of_nobody")
    monkeypatch.setenv("APP_PAYMENTS__STRIPE_WEBHOOK_SECRET", "whsec_of_nobody")
    monkeypatch.setenv("APP_TEMPORAL__ENCRYPTION_KEYS", f"2026:{base64.b64encode(bytes(32)).decode()}")


@pytest.mark.usefixtures("production")
def test_in_production_nobody_is_asked_to_send_money_to_an_example(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Settings().transfer_to is None

    monkeypatch.setenv("APP_PAYMENTS__TRANSFER_TO", "Ann's shop, account 4711")
    assert Settings().transfer_to == "Ann's shop, account 4711"


def test_a_shop_without_an_account_takes_no_transfers(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Settings().transfer_to is not None

    monkeypatch.setenv("APP_PAYMENTS__TRANSFER_TO", "")
    assert Settings().transfer_to is None
