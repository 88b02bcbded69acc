"""Each mail in each language, word by word: ``sutler mail preview`` shows them to whoever changes one."""

from datetime import UTC, tzinfo
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli import app
from domain.money import Money
from domain.notifications import Occasion
from providers.mail.examples import example
from providers.mail.languages import LANGUAGES, TEMPLATES, spoken
from providers.mail.letters import Letters
from tests.domain.test_deadlines import BEIRUT, BERLIN, LORD_HOWE, NEW_YORK, at

MAILS = Path(__file__).parent / "mails"
LETTERS = Letters(shop_name="Sutler", transfer_to="Sutler, account 1234 at a bank")


@pytest.mark.parametrize("language", LANGUAGES.all)
@pytest.mark.parametrize("occasion", list(Occasion))
def test_a_mail_says_exactly_what_it_said_when_somebody_read_it_last(occasion: Occasion, language: str) -> None:
    mail = example(LETTERS, occasion, language)

    assert f"{mail.subject}\n\n{mail.text}" == (MAILS / language / f"{occasion}.txt").read_text(encoding="utf-8")


@pytest.mark.parametrize("language", LANGUAGES.all)
@pytest.mark.parametrize("occasion", list(Occasion))
def test_a_mail_can_be_looked_at_in_its_language_and_nothing_in_it_becomes_markup(
    occasion: Occasion, language: str
) -> None:
    html = example(LETTERS, occasion, language).html

    assert html.startswith(f'<!doctype html>\n<html lang="{language}">')
    assert "Earl Grey & Friends" not in html


def test_every_language_has_every_mail() -> None:
    names = {language: {file.name for file in (TEMPLATES / language).iterdir()} for language in LANGUAGES.all}

    assert names["de"] == names["en"]


@pytest.mark.parametrize(
    ("wish", "tag", "price"),
    [
        ("en", "en", "$1,234.50"),
        ("de", "de", "1.234,50\N{NO-BREAK SPACE}$"),
        ("de-AT", "de", "$\N{NO-BREAK SPACE}1.234,50"),
        ("fr", "en", "$1,234.50"),
        ("de-nonsense", "de", "1.234,50\N{NO-BREAK SPACE}$"),
    ],
)
def test_who_asks_for_a_language_reads_it_and_its_way_to_write_money(wish: str, tag: str, price: str) -> None:
    assert spoken(wish).tag == tag
    assert spoken(wish).money(Money(123450, "USD")) == price


def test_no_digit_of_a_sum_is_left_out() -> None:
    assert spoken("en").money(Money(1500, "JPY")) == "¥1,500"
    assert spoken("en").money(Money(12345, "KWD")).endswith("12.345")
    assert spoken("en").money(Money(12345, "IQD")) == "IQD 12.345"


@pytest.mark.parametrize(
    ("language", "zone", "moment", "words"),
    [
        ("en", UTC, "2026-06-05T10:05", "June 5, 2026, 10:05\u202fAM UTC"),
        ("en", BERLIN, "2026-06-05T10:05", "June 5, 2026, 12:05\u202fPM CEST"),
        ("en", NEW_YORK, "2026-01-05T10:05", "January 5, 2026, 5:05\u202fAM EST"),
        ("en", BERLIN, "2026-06-05T22:00", "the end of Friday, June 5, 2026 (CEST)"),
        ("en", BERLIN, "2026-10-25T23:00", "the end of Sunday, October 25, 2026 (CET)"),
        ("en", LORD_HOWE, "2026-12-31T13:00", "the end of Thursday, December 31, 2026 (+11)"),
        ("en", BEIRUT, "2026-03-28T22:00", "the end of Saturday, March 28, 2026 (EEST)"),
        ("de", BERLIN, "2026-06-05T10:05", "5. Juni 2026, 12:05 Uhr CEST"),
        ("de", BERLIN, "2026-06-05T22:00", "Freitag, 5. Juni 2026, 24 Uhr (CEST)"),
    ],
)
def test_people_are_told_by_the_clocks_of_the_shop(language: str, zone: tzinfo, moment: str, words: str) -> None:
    assert spoken(language).moment(at(moment), zone) == words


def test_mails_can_be_looked_at_before_they_are_sent(tmp_path: Path) -> None:
    run, page = CliRunner().invoke, tmp_path / "mail.html"

    assert run(app, ["mail", "list"]).stdout.split() == [*Occasion]
    shown = run(app, ["mail", "preview", "order_confirmed", "--locale", "de"])
    assert shown.stdout.startswith("Subject: Sutler: Ihre Bestellung S-1001\n\nVielen Dank")
    assert run(app, ["mail", "preview", "order_confirmed", "--out", str(page)]).exit_code == 0
    assert page.read_text().startswith("<!doctype html>")
    assert run(app, ["mail", "preview", "imagined"]).exit_code == 2
