"""Settings that mean something else where real money is."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydantic import ValidationError
from pydantic_settings import SettingsError

from cli import main
from domain.limits import EXACT
from runtime.settings import Settings
from tests.support.production import PRODUCTION


@pytest.fixture
def production(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in PRODUCTION.items():
        monkeypatch.setenv(name, value)


@pytest.mark.usefixtures("production")
def test_in_production_nobody_is_asked_to_send_money_to_an_example(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Settings().transfer_to is None

    monkeypatch.setenv("APP_PAYMENTS__TRANSFER_TO", "Ann's shop, account 4711")
    assert Settings().transfer_to == "Ann's shop, account 4711"


def test_a_shop_without_an_account_takes_no_transfers(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Settings().transfer_to is not None

    monkeypatch.setenv("APP_PAYMENTS__TRANSFER_TO", "")
    assert Settings().transfer_to is None


@pytest.mark.usefixtures("production")
def test_only_production_takes_its_time_to_leave_when_nothing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Settings().leave_seconds == 5

    monkeypatch.setenv("APP_API__LEAVE_SECONDS", "0")
    assert Settings().leave_seconds == 0
    monkeypatch.delenv("APP_API__LEAVE_SECONDS")
    monkeypatch.setenv("APP_ENV", "development")
    assert Settings().leave_seconds == 0


SECRETS = {
    name: PRODUCTION[name]
    for name in (
        "APP_DATABASE__URL",
        "APP_CACHE__URL",
        "APP_PAYMENTS__STRIPE_API_KEY",
        "APP_PAYMENTS__STRIPE_WEBHOOK_SECRET",
    )
}


@pytest.mark.usefixtures("production")
@pytest.mark.parametrize("secret", SECRETS)
def test_production_does_not_start_with_a_secret_of_development(secret: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(secret)

    with pytest.raises(ValidationError, match=f"{secret} still has its development value"):
        Settings()


@pytest.mark.usefixtures("production")
def test_a_refusal_to_start_names_what_is_wrong_in_a_sentence_and_tells_no_secret(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["sutler", "api"])
    monkeypatch.setenv("APP_PAYMENTS__STRIPE_API_KEY", "sk_live_secret")
    for variable, value, told in (
        ("APP_TEMPORAL__ENCRYPTION_KEYS", "", "APP_TEMPORAL__ENCRYPTION_KEYS is empty; production encrypts what"),
        ("APP_API__PORT", "99999", "APP_API__PORT: Input should be less than or equal to 65535"),
        ("APP_PAYMENTS__STRIPE_API_KEYS", "sk_live_secret", "APP_PAYMENTS__STRIPE_API_KEYS: Extra inputs are not"),
        ("APP_PAYMENTS", "sk_live_secret", 'error parsing value for field "payments" from source'),
    ):
        with monkeypatch.context() as wrong:
            wrong.setenv(variable, value)
            with pytest.raises(SystemExit) as ended:
                main()
            with pytest.raises((ValidationError, SettingsError)) as refused:
                Settings()
        said = capsys.readouterr()
        assert (ended.value.code, said.out) == (2, "")
        assert said.err.startswith(told)
        assert said.err.count("\n") == 1
        assert "sk_live_secret" not in said.err + str(refused.value)


@pytest.mark.usefixtures("production")
@pytest.mark.parametrize("variable", ["APP_PAYMENTS__STRIPE_API_KEY", "APP_MAIL__PASSWORD"])
@pytest.mark.parametrize("known", ["sk_test_sutler", "whsec_sutler", "sutler-demo-1"])
def test_nor_with_one_in_the_place_of_another(variable: str, known: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, known)

    with pytest.raises(ValidationError, match=f"{variable} still has its development value"):
        Settings()


@pytest.mark.usefixtures("production")
def test_production_does_not_ask_a_sandbox_about_parcels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("APP_CARRIERS__EASYPOST_API_KEY", "EZAK_of_nobody")
    monkeypatch.setenv("APP_CARRIERS__EASYPOST_API_BASE", "http://127.0.0.1:8090/v2")

    with pytest.raises(ValidationError, match="APP_CARRIERS__EASYPOST_API_BASE is not reached by https"):
        Settings()


@pytest.mark.parametrize("variable", ["APP_CARRIERS__EASYPOST_API_KEY", "APP_CARRIERS__EASYPOST_WEBHOOK_SECRET"])
@pytest.mark.usefixtures("production")
def test_production_does_not_know_a_carrier_by_what_the_sandbox_knows(
    monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    known = {"APP_CARRIERS__EASYPOST_API_KEY": "EZTKsutler", "APP_CARRIERS__EASYPOST_WEBHOOK_SECRET": "easypost-sutler"}
    monkeypatch.setenv(variable, known[variable])

    with pytest.raises(ValidationError, match=f"{variable} still has its development value"):
        Settings()


@pytest.mark.usefixtures("production")
def test_production_does_not_pay_at_a_sandbox(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("APP_PAYMENTS__STRIPE_API_BASE")

    with pytest.raises(ValidationError, match="APP_PAYMENTS__STRIPE_API_BASE is not reached by https"):
        Settings()


@pytest.mark.usefixtures("production")
def test_production_looks_passwords_up_by_https_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("APP_AUTH__STOLEN_PASSWORDS_URL", "https://api.pwnedpasswords.com")
    assert Settings().auth.stolen_passwords_url == "https://api.pwnedpasswords.com"

    monkeypatch.setenv("APP_AUTH__STOLEN_PASSWORDS_URL", "http://api.pwnedpasswords.com")
    with pytest.raises(ValidationError, match="APP_AUTH__STOLEN_PASSWORDS_URL is not reached by https"):
        Settings()


@pytest.mark.usefixtures("production")
def test_secrets_may_come_from_files_of_their_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SECRETS.items():
        monkeypatch.delenv(name)
        (tmp_path / name).write_text(f"{value}\n")
    monkeypatch.setenv("APP_SECRETS_DIR", str(tmp_path))
    monkeypatch.setenv("APP_PAYMENTS__STRIPE_WEBHOOK_SECRET", "whsec_of_the_environment")

    settings = Settings()

    assert settings.database.url.get_secret_value() == PRODUCTION["APP_DATABASE__URL"]
    assert settings.payments.stripe_api_key.get_secret_value() == "sk_live_of_nobody"
    assert settings.payments.stripe_webhook_secret.get_secret_value() == "whsec_of_the_environment"
    assert "sk_live" not in repr(settings)


@pytest.mark.usefixtures("production")
def test_a_folder_of_secrets_that_is_not_there_refuses_to_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("APP_SECRETS_DIR", "/nowhere/to/be/found")

    with pytest.raises(Exception, match="/nowhere/to/be/found"):
        Settings()


@pytest.mark.usefixtures("production")
def test_the_limits_of_production_are_the_promised_ones_unless_others_were_set(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Settings().quotas == EXACT

    monkeypatch.setenv("APP_LIMITS__ADDRESS", "7/min")
    monkeypatch.setenv("APP_LIMITS__OTHERS", '{"user.staff": "300/60s"}')
    changed = Settings().quotas
    assert {name: str(changed[name]) for name in ("address", "user.staff", "user")} == {
        "address": "7/min",
        "user.staff": "300/min",
        "user": "50/min",
    }


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("APP_LIMITS__ADDRESS", "off"),
        ("APP_LIMITS__USER", "0/min"),
        ("APP_LIMITS__OTHERS", '{"user.stuff": "5/min"}'),
        ("APP_LIMITS__TRUSTED_PROXIES", '["10.0.0.1/8"]'),
    ],
)
def test_a_limit_that_is_none_refuses_to_start(variable: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, value)

    with pytest.raises(ValidationError):
        Settings()


@pytest.mark.parametrize("name", ["Berlin", "Europe", "Europe/Atlantis", "", "../../etc/passwd", "UTC+2"])
def test_a_time_zone_that_there_is_not_refuses_to_start(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("APP_SHOP__TIME_ZONE", name)

    with pytest.raises(ValidationError, match="is not a time zone of the IANA list"):
        Settings()


def test_deadlines_in_days_end_with_a_day_where_the_shop_is(monkeypatch: pytest.MonkeyPatch) -> None:
    friday = datetime(2026, 10, 23, 12, tzinfo=UTC)
    assert Settings().transfer_term.end(friday) == datetime(2026, 10, 31, tzinfo=UTC)

    monkeypatch.setenv("APP_SHOP__TIME_ZONE", "Europe/Berlin")
    monkeypatch.setenv("APP_SHOP__RETURN_DAYS", "14")
    settings = Settings()

    assert settings.transfer_term.end(friday) == datetime(2026, 10, 30, 23, tzinfo=UTC)
    assert settings.shop.return_term.end(friday) == datetime(2026, 11, 6, 23, tzinfo=UTC)


KAFKA = {"APP_EVENTS__DESTINATION": "kafka", "APP_EVENTS__KAFKA_SERVERS": "broker:9092"}
SASL = {"APP_EVENTS__KAFKA_USERNAME": "shop", "APP_EVENTS__KAFKA_PASSWORD": "word"}


@pytest.mark.parametrize(
    ("otherwise", "told"),
    [
        ({"APP_EVENTS__KAFKA_SERVERS": ""}, "APP_EVENTS__DESTINATION=kafka needs brokers"),
        ({"APP_EVENTS__KAFKA_SECURITY": "SASL_SSL"}, "SASL_SSL needs APP_EVENTS__KAFKA_USERNAME"),
        (
            {"APP_EVENTS__KAFKA_SECURITY": "SSL", "APP_EVENTS__KAFKA_KEY_FILE": "key.pem"},
            "needs APP_EVENTS__KAFKA_CERTIFICATE_FILE",
        ),
        ({"APP_EVENTS__KAFKA_CA_FILE": "ca.pem"}, "APP_EVENTS__KAFKA_SECURITY=PLAINTEXT speaks no TLS"),
    ],
)
def test_brokers_that_could_not_be_asked_as_is_set_refuse_to_start(
    otherwise: dict[str, str], told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {**KAFKA, **otherwise}.items():
        monkeypatch.setenv(name, value)

    with pytest.raises(ValidationError, match=told):
        Settings()


@pytest.mark.usefixtures("production")
@pytest.mark.parametrize(
    ("otherwise", "told"),
    [
        ({"APP_EVENTS__KAFKA_IS_IDEMPOTENT": "false"}, "production does not tell events twice"),
        ({**SASL, "APP_EVENTS__KAFKA_SECURITY": "SASL_PLAINTEXT"}, "KAFKA_PASSWORD would be sent"),
    ],
)
def test_production_tells_kafka_nothing_twice_and_no_password_in_the_clear(
    otherwise: dict[str, str], told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in KAFKA.items():
        monkeypatch.setenv(name, value)
    assert Settings().events.kafka_is_idempotent

    for name, value in otherwise.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ValidationError, match=told):
        Settings()
