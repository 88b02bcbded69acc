"""Products: brought in, watched on their way, written to files, and asked for before shoppers do."""

from pathlib import Path
from typing import Annotated

import typer

from cli.options import Token

app = typer.Typer(no_args_is_help=True, help="The products of the shop.")

Products = Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="Shopify's product CSV, or JSON lines.")]
Currency = Annotated[str | None, typer.Option(help="Of the prices; the shop's own by default.")]
FailedRows = Annotated[
    Path | None, typer.Option(dir_okay=False, help="Write the rows that failed to this file, to mend and send again.")
]


@app.command("import")
def catalog_import(
    file: Products,
    currency: Currency = None,
    errors: Annotated[Path | None, typer.Option(help="Write the rows that failed to this CSV.")] = None,
) -> int:
    """Import products; those that exist are updated, and the same file twice changes nothing.

    Products are known again by their handle (slug), variants by their SKU. Rows that cannot be imported are
    reported and do not stop the others; the exit code is 1 if there were any. JSON lines have the shape of
    POST /v1/products, with a category path:

    {"name": "Mug", "category": "Kitchen > Cups", "sku": "MUG-1", "price": "7.50", "stock_quantity": 12}
    """
    from runtime.catalog import run_import

    return run_import(file, currency=currency, errors=errors)


@app.command("upload")
def catalog_upload(
    file: Products,
    currency: Currency = None,
    failed_rows: FailedRows = None,
    token: Token = None,
) -> int:
    """Send products to the running shop, which imports them in the background, and watch it.

    The import survives crashes and restarts; Ctrl-C leaves it running. The exit code is 1 if a row failed.
    """
    from deploy.catalog_upload import upload

    return upload(file, currency=currency, failed_rows=failed_rows, token=token)


@app.command("follow")
def catalog_follow(
    import_id: Annotated[str | None, typer.Argument(help="As `sutler catalog upload` names it; or the newest.")] = None,
    failed_rows: FailedRows = None,
    token: Token = None,
) -> int:
    """Watch an import that runs, or see what became of it."""
    from deploy.catalog_upload import follow

    return follow(import_id, failed_rows=failed_rows, token=token)


@app.command("export")
def catalog_export(
    file: Annotated[
        Path | None, typer.Argument(dir_okay=False, help="Written straight from the database, on the shop's machine.")
    ] = None,
    to: Annotated[
        Path | None, typer.Option("--to", dir_okay=False, help="Have the running shop write it, from anywhere.")
    ] = None,
    export_id: Annotated[
        str | None, typer.Option("--id", help="With --to: have the file of an export that was begun before.")
    ] = None,
    currency: Currency = None,
    token: Token = None,
) -> int:
    """Write all products but the archived to a file that `sutler catalog import` takes, from one snapshot.

    A .csv is as Shopify has it; any other name gets JSON lines, which hold all that an import takes, in one currency.
    What a CSV cannot hold is left out and named; the exit code is 1 if there was any.
    """
    if to is not None and file is None:
        from deploy.catalog_export import export

        return export(to, currency=currency, export_id=export_id, token=token)
    if file is not None and to is None:
        from runtime.catalog_export import run_export

        return run_export(file, currency=currency)
    raise typer.BadParameter("say where to write it: FILE, or --to FILE to have the running shop write it")


@app.command("warm")
def catalog_warm(
    urls: Annotated[
        list[str] | None,
        typer.Argument(metavar="URL", help="Of API processes, such as http://10.0.0.7:8080; or the shop's own."),
    ] = None,
    products: Annotated[int | None, typer.Option(min=1, help="How many of the newest; or all.")] = None,
    currency: Annotated[str | None, typer.Option(help="As in ?currency=; by default nothing is said.")] = None,
    language: Annotated[str | None, typer.Option(help="As in Accept-Language; by default nothing is said.")] = None,
    at_once: Annotated[int, typer.Option(min=1, max=64, help="How many questions at the same time.")] = 8,
) -> int:
    """Ask running API processes for the catalogue, so that shoppers find it in their memory.

    Each process has a memory of its own, which is empty when it starts: name each by its own address. When a process
    says that it is asked too often, it is asked later. The exit code is 1 if one could not be warmed.
    """
    from deploy.catalog_warm import Wish, warm

    return warm(urls or [], Wish(products=products, currency=currency, language=language, at_once=at_once))


@app.command("demo")
def catalog_demo(
    products: Annotated[int, typer.Option(min=1, max=60_000, help="How many of the best-selling.")] = 6000,
    everything: Annotated[bool, typer.Option("--all", help="All 91,515, also what nobody bought.")] = False,
    if_empty: Annotated[bool, typer.Option("--if-empty", help="Do nothing when there are products already.")] = False,
) -> int:
    """Import real groceries with categories, brands, sizes, prices and stock, to try the shop with."""
    from runtime.catalog import run_demo

    return run_demo(None if everything else products, if_empty=if_empty)
