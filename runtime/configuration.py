"""Settings as people meet them: what each is called, takes and means, what this environment gives it, and is it right?

Works on any class of settings, so that those of ``sutler up`` read like those of the shop.
"""

import re
import ssl
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from enum import StrEnum
from pathlib import Path
from typing import Any, Self

from pydantic import ValidationError
from pydantic_settings import BaseSettings, EnvSettingsSource, PydanticBaseSettingsSource, SettingsError

from domain.money import minor_digits
from providers.payments import PROVIDERS
from runtime.keys import SigningKeyError, signing_keys
from runtime.sealing import SealingKeyError, seal_with
from runtime.settings import SECRETS_DIR, Environment, Settings, secret_files

Json = Any
At = tuple[str, ...]
"""Where a setting is: its section, if it is in one, and its name."""

BESIDE = {
    SECRETS_DIR: "A folder whose files, named like variables, hold their values; the environment goes first.",
    "APP_READY_FILE": "A file that a worker makes once it takes work.",
}
"""What is read from the environment and is no setting."""

VARIABLE = re.compile(r"\bAPP_[A-Z0-9_]+")


class Origin(StrEnum):
    DEFAULT = "default"
    ENVIRONMENT = "environment"
    FILE = "file"


@dataclass(frozen=True)
class Setting:
    variable: str
    at: At
    kind: str
    """What it takes, in words."""
    default: str
    meaning: str
    is_secret: bool


@dataclass(frozen=True)
class Section:
    name: str
    meaning: str
    settings: Sequence[Setting]


@dataclass(frozen=True)
class Problem:
    variable: str
    words: str
    """What is wrong, and what to do next. They quote no value that may be a secret."""


@dataclass(frozen=True)
class Found:
    """What an environment gives settings."""

    settings: BaseSettings
    """With the defaults in the place of what is wrong."""
    origins: Mapping[At, Origin]
    """Of all that is not the default."""
    problems: Sequence[Problem]


# --- what there is --------------------------------------------------------------------------------------------------


def sections_of(model: type[BaseSettings]) -> list[Section]:
    """The model's settings as its own schema describes them; those without a section first."""
    schema, prefix = model.model_json_schema(), model.model_config["env_prefix"]
    parts = schema.get("$defs", {})
    alone, sections = [], []
    for name, field in schema["properties"].items():
        described = parts[field["$ref"].rpartition("/")[2]] if "$ref" in field else field
        if "properties" not in described:
            alone.append(_setting(prefix, (name,), field, parts))
            continue
        settings = [_setting(prefix, (name, key), inner, parts) for key, inner in described["properties"].items()]
        sections.append(Section(name, _in_one_line(described.get("description", "")), settings))
    return [Section("", _in_one_line(model.__doc__ or ""), alone), *sections]


def settings_of(model: type[BaseSettings]) -> dict[At, Setting]:
    return {setting.at: setting for section in sections_of(model) for setting in section.settings}


def _setting(prefix: str, at: At, schema: Json, parts: Json) -> Setting:
    taken, *_ = [kind for kind in schema.get("anyOf", [schema]) if kind.get("type") != "null"]
    if "$ref" in taken:
        taken = parts[taken["$ref"].rpartition("/")[2]]
    is_secret = bool(taken.get("writeOnly"))
    return Setting(
        variable=prefix + "__".join(at).upper(),
        at=at,
        kind=_kind(taken),
        default=_default(schema.get("default"), is_secret=is_secret),
        meaning=_in_one_line(schema.get("description", "")),
        is_secret=is_secret,
    )


NAMES = {
    "integer": "whole number",
    "number": "number",
    "boolean": "true or false",
    "array": "JSON list",
    "object": "JSON object",
}


def _kind(schema: Json) -> str:
    if schema.get("writeOnly"):
        return "secret"
    if "enum" in schema:
        return "one of " + ", ".join(f"`{value}`" for value in schema["enum"])
    if schema.get("format") == "path":
        return "path"
    return NAMES.get(schema["type"], "text") + "".join(
        f", {words} {schema[key]}"
        for key, words in {
            "minimum": "at least",
            "exclusiveMinimum": "more than",
            "maximum": "at most",
            "pattern": "like",
        }.items()
        if key in schema
    )


def _default(value: Json, *, is_secret: bool) -> str:
    if value is None:
        return "unset"
    if value in ("", [], {}):
        return "empty"
    if is_secret:
        return "a value for development"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _in_one_line(text: str) -> str:
    return " ".join(text.replace("``", "`").split())


# --- what this environment gives ------------------------------------------------------------------------------------


def found(model: type[BaseSettings], others: Sequence[str] = ()) -> Found:
    """All that is wrong at once. What begins with one of the others' prefixes is not the model's."""
    known = settings_of(model)
    values, origins, problems = _given(model, known, others)

    while True:
        try:
            settings = _alone(model)(**_nested(values))
        except ValidationError as wrong:
            problems += _wrong_values(wrong, known)
            _add(problems, _broken_sections(wrong, known))
            for at in [at for at in values if any(at[: len(place)] == place for place, _ in _told(wrong))]:
                del values[at]
        else:
            if isinstance(settings, Settings):
                _add(problems, _broken_rules(settings))
            return Found(settings, origins, problems)


def _alone(model: type[BaseSettings]) -> type[BaseSettings]:
    """The model that reads nothing but what it is given, and says itself what does not go together."""

    class Alone(model):  # type: ignore[misc, valid-type]
        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],  # noqa: ARG003
            init_settings: PydanticBaseSettingsSource,
            **_: Any,
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            return (init_settings,)

        def go_together(self) -> Self:
            return self

    return Alone


def _add(problems: list[Problem], more: Iterable[Problem]) -> None:
    """But not what only follows from a value that is wrong itself."""
    named = {variable for problem in problems for variable in _named_by(problem)}
    problems += [problem for problem in more if not named & _named_by(problem)]


def _broken_rules(settings: Settings) -> Iterator[Problem]:
    for rule in settings.broken_rules():
        yield Problem(VARIABLE.findall(rule)[0], f"{rule}.")


def _named_by(problem: Problem) -> set[str]:
    return {problem.variable, *VARIABLE.findall(problem.words)}


def _given(
    model: type[BaseSettings], known: Mapping[At, Setting], others: Sequence[str]
) -> tuple[dict[At, Any], dict[At, Origin], list[Problem]]:
    """The value of each variable, asked for one by one, so that one that cannot be read hides none of the others."""
    values: dict[At, Any] = {}
    origins: dict[At, Origin] = {}
    problems: list[Problem] = []
    for origin, source in _sources(model, problems):
        for variable, read in _one_by_one(source, others):
            if read is None:
                setting = next((setting for setting in known.values() if setting.variable == variable), None)
                problems.append(Problem(variable, f"This is not JSON. {_next(setting)}"))
                continue
            for at, value in read.items():
                if at not in known:
                    problems.append(Problem(variable, f"There is no such setting. {_meant(variable, known)}"))
                elif at not in values:
                    values[at], origins[at] = value, origin
            if not read:
                problems.append(Problem(variable, f"There is no such setting. {_meant(variable, known)}"))
    return values, origins, problems


def _sources(model: type[BaseSettings], problems: list[Problem]) -> Iterator[tuple[Origin, EnvSettingsSource]]:
    yield Origin.ENVIRONMENT, EnvSettingsSource(model)
    if model is not Settings:
        return
    try:
        files = secret_files(model)
    except SettingsError as error:
        problems.append(Problem(SECRETS_DIR, f"{error}. Set it to the folder with the files, or unset it."))
    else:
        if files:
            yield Origin.FILE, files


def _one_by_one(source: EnvSettingsSource, others: Sequence[str]) -> Iterator[tuple[str, dict[At, Any] | None]]:
    """Each variable with where its values belong; ``None`` when it cannot be read."""
    every, prefix = dict(source.env_vars), source.env_prefix.lower()
    for name, text in sorted(every.items()):
        variable = name.upper()
        if not name.startswith(prefix) or variable in BESIDE or variable.startswith(tuple(others)):
            continue
        source.env_vars = {name: text}
        try:
            read = source()
        except SettingsError:
            yield variable, None
        else:
            yield variable, dict(_leaves(read, source.settings_cls))


def _leaves(read: Mapping[str, Any], model: type[BaseSettings]) -> Iterator[tuple[At, Any]]:
    for name, value in read.items():
        is_section = hasattr(model.model_fields[name].annotation, "model_fields")
        if is_section and isinstance(value, dict):
            yield from (((name, key), inner) for key, inner in value.items())
        else:
            yield (name,), value


def _nested(values: Mapping[At, Any]) -> dict[str, Any]:
    nested: dict[str, Any] = {}
    for at, value in values.items():
        within = nested
        for name in at[:-1]:
            within = within.setdefault(name, {})
        within[at[-1]] = value
    return nested


def _wrong_values(wrong: ValidationError, known: Mapping[At, Setting]) -> Iterator[Problem]:
    for place, words in _told(wrong):
        if place in known:
            yield Problem(known[place].variable, f"{words}. {_next(known[place])}")


def _broken_sections(wrong: ValidationError, known: Mapping[At, Setting]) -> Iterator[Problem]:
    for place, words in _told(wrong):
        if place not in known:
            yield Problem(VARIABLE.findall(words)[0], f"{words}.")


def _told(wrong: ValidationError) -> Iterator[tuple[At, str]]:
    for error in wrong.errors(include_url=False, include_input=False):
        yield tuple(str(name) for name in error["loc"][:2]), error["msg"].removeprefix("Value error, ")


def _next(setting: Setting | None) -> str:
    if setting is None:
        return "Unset it, and set its settings one by one."
    return f"It takes: {setting.kind}. Unset, it is {setting.default}.".replace("`", "")


def _meant(variable: str, known: Mapping[At, Setting]) -> str:
    close = get_close_matches(variable, [setting.variable for setting in known.values()], n=1, cutoff=0.8)
    return f"Rename it, if you mean {close[0]}." if close else "Unset it: nothing reads it."


# --- what else a process would stumble over -------------------------------------------------------------------------


def not_to_be_used(settings: Settings) -> Iterator[Problem]:
    """Files that are missing or hold something else, and names of what there is not."""
    auth, is_production = settings.auth, settings.env is Environment.PRODUCTION
    if is_production or auth.signing_key_file.exists():
        try:
            signing_keys(auth.signing_key_file, may_be_made=False)
        except SigningKeyError as error:
            yield Problem("APP_AUTH__SIGNING_KEY_FILE", str(error))
    if is_production or auth.sealing_key_file.exists():
        try:
            seal_with(auth.sealing_key_file, may_be_made=False)
        except SealingKeyError as error:
            yield Problem("APP_AUTH__SEALING_KEY_FILE", str(error))
    if settings.mail.ca_file is not None and (why := _unusable_certificates(settings.mail.ca_file)):
        yield Problem("APP_MAIL__CA_FILE", f"{why}. Name a file of certificates (PEM), or unset it.")
    if settings.payments.provider not in PROVIDERS:
        names = ", ".join(sorted(PROVIDERS))
        yield Problem("APP_PAYMENTS__PROVIDER", f"There is no such payment provider. Choose one of: {names}.")
    try:
        minor_digits(settings.shop.currency)
    except ValueError:
        yield Problem("APP_SHOP__CURRENCY", "There is no such currency. Set it to a code of ISO 4217, such as EUR.")


def _unusable_certificates(file: Path) -> str | None:
    try:
        ssl.create_default_context(cafile=file)
    except (OSError, ssl.SSLError) as error:
        return f"The certificates at {file} cannot be read: {error}"
    return None
