"""``sutler config``: what an environment sets, whether it is right, and the page about all settings."""

import json
from collections.abc import Iterator

from pydantic_settings import BaseSettings
from rich.table import Table

from deploy.settings import PREFIX, UpSettings
from deploy.visitor import Json, as_json, terminal
from runtime.configuration import (
    BESIDE,
    Found,
    Origin,
    Section,
    found,
    not_to_be_used,
    sections_of,
    settings_of,
)
from runtime.settings import Settings

HEAD = """# Configuration

All settings of a shop, as its code has them; `sutler config docs` prints this page, and a test holds it to that.

Each is an environment variable. Where `APP_SECRETS_DIR` names a folder, as orchestrators mount secrets, each of its
files named like a variable holds that variable's value; the environment goes first, then files, then the default.
Lists and objects are written as JSON. A process with a wrong setting does not start, and says which one it is.

```console
$ sutler config check    # everything that is wrong, at once, and what to do about it; then the exit code is 1
$ sutler config show     # each setting, its value, and whether that is from the environment, a file or the default
```

Neither shows a secret. `APP_ENV=production sutler config check` says beforehand what production would refuse.
What can be changed while the shop runs, and how, is in [operating](operating.md#configuration).
"""

OF_UP = """## Of `sutler up`

It runs a whole shop on one machine, and sets from these whatever tells the processes where to find each other.
"""


def check() -> int:
    """Print everything that is wrong with the settings; the exit code."""
    console = terminal()
    shop, stack = _look()
    problems = [*shop.problems, *stack.problems]
    if isinstance(shop.settings, Settings):
        named = {problem.variable for problem in problems}
        problems += [problem for problem in not_to_be_used(shop.settings) if problem.variable not in named]
    for problem in problems:
        console.print(f"{problem.variable}: {problem.words.removeprefix(f'{problem.variable}: ')}", soft_wrap=True)
    if problems:
        return 1
    set_here = len(shop.origins) + len(stack.origins)
    console.print(f"All settings are right: {set_here} set here, the others have their defaults.")
    return 0


def show(*, for_programs: bool) -> int:
    """Print what holds; the exit code is 1 when some of it is wrong, and the default is shown in its place."""
    shop, stack = _look()
    rows = [*_rows(Settings, shop), *_rows(UpSettings, stack)]
    console = terminal()
    console.print(as_json(rows) if for_programs else _table(rows), soft_wrap=for_programs)
    if not shop.problems and not stack.problems:
        return 0
    if not for_programs:
        console.print("Some settings are wrong, and their defaults are shown: `sutler config check` names them.")
    return 1


def _look() -> tuple[Found, Found]:
    return found(Settings, others=(PREFIX,)), found(UpSettings)


def _rows(model: type[BaseSettings], here: Found) -> Iterator[Json]:
    values = here.settings.model_dump(mode="json")
    for at, setting in settings_of(model).items():
        value = values[at[0]] if len(at) == 1 else values[at[0]][at[1]]
        yield {
            "name": setting.variable,
            "value": None if setting.is_secret else value,
            "from": here.origins.get(at, Origin.DEFAULT),
            "is_secret": setting.is_secret,
            "is_set": value not in (None, ""),
        }


def _table(rows: list[Json]) -> Table:
    table = Table(show_edge=False)
    for heading in ("setting", "value", "from"):
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(row["name"], _shown(row), "" if row["from"] == Origin.DEFAULT else row["from"])
    return table


def _shown(row: Json) -> str:
    if not row["is_set"]:
        return ""
    if row["is_secret"]:
        return "(hidden)"
    return row["value"] if isinstance(row["value"], str) else json.dumps(row["value"])


def document() -> str:
    """``docs/configuration.md``."""
    alone, *sections = sections_of(Settings)
    [up] = sections_of(UpSettings)
    beside = ["| variable | meaning |", "| --- | --- |", *(f"| `{name}` | {words} |" for name, words in BESIDE.items())]
    return "\n".join(
        [
            HEAD,
            "## Of every process\n",
            *_lines(alone),
            "\nBeside these, some processes read:\n",
            *beside,
            *(line for section in sections for line in ("", *_titled(section))),
            "",
            OF_UP,
            *_lines(up),
            "",
        ]
    )


def _titled(section: Section) -> list[str]:
    return [f"## {section.name.replace('_', ' ').capitalize()}\n", f"{section.meaning}\n", *_lines(section)]


def _lines(section: Section) -> list[str]:
    return [
        "| variable | takes | default | meaning |",
        "| --- | --- | --- | --- |",
        *(
            "| " + " | ".join(_cell(text) for text in (f"`{its.variable}`", its.kind, its.default, its.meaning)) + " |"
            for its in section.settings
        ),
    ]


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
