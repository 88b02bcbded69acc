"""What the shop writes to people, to be seen before they do."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, help="See what the shop writes to people.")


@app.command("list")
def mail_list() -> None:
    """All mails, by name, and the languages in which they are written."""
    from domain.notifications import Occasion
    from providers.mail.languages import LANGUAGES

    for occasion in Occasion:
        typer.echo(occasion)
    typer.echo(f"Languages: {', '.join(LANGUAGES.all)}", err=True)


@app.command("preview")
def mail_preview(
    name: Annotated[str, typer.Argument(help="As `sutler mail list` shows it.")],
    locale: Annotated[str | None, typer.Option(help="Such as de or de-AT; else the shop's own.")] = None,
    out: Annotated[Path | None, typer.Option(help="Where to write it: HTML if the name ends so.")] = None,
    is_opened: Annotated[bool, typer.Option("--open", help="Show its HTML in the browser.")] = False,
) -> None:
    """Show a mail with facts that are made up."""
    import tempfile

    from domain.notifications import Occasion
    from providers.mail.examples import example
    from runtime.settings import Settings
    from workers.notifications import letters_of

    if name not in set(Occasion):
        raise typer.BadParameter(f"There is no mail {name}; `sutler mail list` names all.")
    made = example(letters_of(Settings()), Occasion(name), locale)
    if out is None and is_opened:
        out = Path(tempfile.mkdtemp()) / f"{name}.html"
    if out is None:
        typer.echo(f"Subject: {made.subject}\n\n{made.text}", nl=False)
    else:
        out.write_text(made.html if out.suffix == ".html" else f"Subject: {made.subject}\n\n{made.text}")
        typer.echo(out)
    if is_opened and out is not None:
        typer.launch(str(out))
