"""The languages of mails: a folder of templates each, with its words, and how its people write money and times."""

import json
from collections.abc import Mapping
from datetime import datetime, time, timedelta, tzinfo
from decimal import Decimal
from functools import lru_cache
from importlib.resources import files

from babel import Locale, UnknownLocaleError
from babel.dates import format_date, format_time
from babel.numbers import format_currency, get_currency_precision
from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined, select_autoescape

from domain.deadlines import start_of_day
from domain.languages import Languages
from domain.money import Money, minor_digits

TEMPLATES = files(__package__) / "templates"
LANGUAGES = Languages(
    "en", tuple(sorted(folder.name for folder in TEMPLATES.iterdir() if folder.is_dir() and folder.name != "en"))
)


@lru_cache(maxsize=64)
def spoken(wish: str) -> "Language":
    """The best for a BCP 47 tag: ``de-AT`` reads German, with money and times as in Austria; ``fr`` reads English."""
    tag = LANGUAGES.negotiated(wish)
    try:
        locale = Locale.parse(wish, sep="-")
    except (ValueError, UnknownLocaleError):
        locale = Locale.parse(tag, sep="-")
    return Language(tag, locale if locale.language == tag else Locale.parse(tag, sep="-"))


class Language:
    def __init__(self, tag: str, locale: Locale) -> None:
        self.tag = tag
        self._locale = locale
        self._words = json.loads((TEMPLATES / tag / "words.json").read_text(encoding="utf-8"))
        self._templates = Environment(
            loader=ChoiceLoader(
                [PackageLoader(__package__, f"templates/{tag}"), PackageLoader(__package__, "templates")]
            ),
            undefined=StrictUndefined,
            autoescape=select_autoescape(["html"]),
            finalize=self._finalized,
            trim_blocks=True,
            keep_trailing_newline=True,
        )

    def subject(self, occasion: str, **facts: object) -> str:
        return str(self._words["subjects"][occasion].format(**facts))

    def written(self, occasion: str, zone: tzinfo, facts: Mapping[str, object]) -> tuple[str, str]:
        """As text and as HTML. Times are told by the clocks of the zone."""
        told = {name: self.moment(fact, zone) if isinstance(fact, datetime) else fact for name, fact in facts.items()}
        text, html = (
            self._templates.get_template(f"{occasion}.{kind}").render(told, language=self.tag)
            for kind in ("txt", "html")
        )
        return text, html

    def money(self, amount: Money) -> str:
        """With all digits that the currency has by ISO 4217, also where its people leave some of them out."""
        if get_currency_precision(amount.currency) != minor_digits(amount.currency):
            return str(amount)
        return format_currency(Decimal(amount.amount), amount.currency, locale=self._locale)

    def moment(self, moment: datetime, zone: tzinfo) -> str:
        """Midnight, which belongs to two days, as the end of the one before."""
        local = moment.astimezone(zone)
        if moment == start_of_day(local.date(), zone):
            day = format_date(local.date() - timedelta(days=1), "full", locale=self._locale)
            return str(self._words["end_of_day"].format(day=day, zone=local.tzname()))
        day = format_date(local.date(), "long", locale=self._locale)
        at = format_time(time(local.hour, local.minute), "short", locale=self._locale)
        return str(self._words["moment"].format(day=day, time=at, zone=local.tzname()))

    def _finalized(self, value: object) -> object:
        return self.money(value) if isinstance(value, Money) else value
