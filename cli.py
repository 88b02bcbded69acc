"""The one command: ``sutler``."""

import os
import sys
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from domain.attention import Decision
from domain.inventory import StockState
from domain.orders import OrderStatus
from domain.payments import PaymentStatus

if TYPE_CHECKING:
    from collections.abc import Callable

    from runtime.keys import SigningKey
    from runtime.settings import Auth

CONNECTIONS = 1024
"""So many an API process has, beside those that stay open to follow an order."""

SECONDS_TO_FINISH = 30
"""How long the API finishes what it has begun to answer, once it has stopped listening."""

app = typer.Typer(no_args_is_help=True, help="Run, fill and look after a Sutler shop.")


AsJson = Annotated[bool, typer.Option("--json", help="For programs.")]
Token = Annotated[
    str | None,
    typer.Option(envvar="SUTLER_TOKEN", help="An operator's access token; without one, the demo operator signs in."),
]


@app.command()
def up(
    gateway: Annotated[
        bool, typer.Option("--gateway", help="Put Nginx and Envoy in front of two API processes.")
    ] = False,
) -> None:
    """Run the whole platform on this machine, with real servers and a real catalogue; Ctrl-C stops it."""
    from deploy.up import up as bring_up

    if gateway:
        os.environ["APP_UP__GATEWAY"] = "true"
    raise typer.Exit(bring_up())


@app.command()
def reset(yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False) -> None:
    """Delete the data that `sutler up` has made, after asking."""
    from deploy.up import reset as delete

    raise typer.Exit(delete(yes=yes))


@app.command()
def migrate() -> None:
    """Bring the database to the newest schema."""
    from runtime.databases import migrated
    from runtime.settings import Settings

    migrated(Settings().database)


@app.command()
def api() -> None:
    """Serve the HTTP API."""
    from granian import Granian
    from granian.constants import HTTPModes, Interfaces, Loops
    from granian.http import HTTP1Settings

    from runtime.scheduling import work_in_batches
    from runtime.settings import Settings

    settings = Settings()
    listen = settings.api
    work_in_batches()
    Granian(
        "api.app:application",
        factory=True,
        address=listen.host,
        port=listen.port,
        interface=Interfaces.RSGI,
        loop=Loops.uvloop,
        http=HTTPModes.http1,
        http1_settings=HTTP1Settings(
            header_read_timeout=listen.headers_seconds * 1000, max_buffer_size=listen.headers_max_bytes
        ),
        websockets=False,
        # Of connections; one that follows an order must take none of the others' places.
        backpressure=CONNECTIONS + settings.at_once.streams,
        log_access=False,
        workers_kill_timeout=ceil(settings.leave_seconds) + SECONDS_TO_FINISH,
    ).serve()


@app.command()
def worker(
    queues: list[str],
    processes: Annotated[int, typer.Option(min=1, help="How many processes; each uses one core.")] = 1,
) -> None:
    """Serve task queues: one or several of their names, or all. Each process serves all of them."""
    from runtime.settings import Settings
    from workers import crew, main
    from workflows.names import Queue

    named = list(Queue) if queues == ["all"] else [Queue(name) for name in queues]
    if processes > 1:
        raise typer.Exit(crew.run(Settings(), named, processes))
    main.run(Settings(), named)


mail = typer.Typer(no_args_is_help=True, help="See what the shop writes to people.")
app.add_typer(mail, name="mail")


@mail.command("list")
def mail_list() -> None:
    """All mails, by name, and the languages in which they are written."""
    from domain.notifications import Occasion
    from providers.mail.languages import LANGUAGES

    for occasion in Occasion:
        typer.echo(occasion)
    typer.echo(f"Languages: {', '.join(LANGUAGES.all)}", err=True)


@mail.command("preview")
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


@app.command()
def demo(
    guest: Annotated[bool, typer.Option("--guest", help="Buy without an account.")] = False,
    declined: Annotated[bool, typer.Option("--declined", help="Pay with a card that is declined.")] = False,
    three_d_secure: Annotated[
        bool, typer.Option("--three-d-secure", help="Pay with a card whose bank wants to see its customer.")
    ] = False,
    bank_transfer: Annotated[
        bool, typer.Option("--bank-transfer", help="Pay by bank transfer; an operator notes the money.")
    ] = False,
) -> None:
    """Buy something from the running shop over HTTP, ship it, and tell the story as it happens."""
    from deploy.demo import Card
    from deploy.demo import demo as tell

    if declined + three_d_secure + bank_transfer > 1:
        raise typer.BadParameter("choose one of --declined, --three-d-secure and --bank-transfer")
    card = Card.DECLINED if declined else Card.THREE_D_SECURE if three_d_secure else Card.GOOD
    raise typer.Exit(tell(card=None if bank_transfer else card, as_guest=guest))


@app.command()
def audit(
    as_json: AsJson = False,
    repair: Annotated[bool, typer.Option("--repair", help="Heal what can be healed, after asking.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    days: Annotated[int, typer.Option(min=1, help="How far back the provider's payments are compared.")] = 2,
) -> None:
    """Check that goods, money and workflows add up; the exit code is 1 when they do not."""
    from deploy.audit import audit as look

    raise typer.Exit(look(days=days, as_json=as_json, repair=repair, yes=yes))


order = typer.Typer(no_args_is_help=True, help="Orders of the running shop, as its operators see them.")
app.add_typer(order, name="order")
app.add_typer(order, name="orders", hidden=True)


Number = Annotated[str, typer.Argument(help="Its number, such as S-1001, or its id.")]
Most = Annotated[int, typer.Option(min=1, max=100, help="How many at most.")]


def queried(**wanted: object) -> dict[str, str]:
    """A query of what was said."""
    return {name: str(value) for name, value in wanted.items() if value is not None}


@order.command("list")
def order_list(
    status: Annotated[OrderStatus | None, typer.Option(help="Only those that are so.")] = None,
    needs_attention: Annotated[bool, typer.Option("--needs-attention", help="Only those that need a person.")] = False,
    customer: Annotated[str | None, typer.Option(help="The e-mail address of an order.")] = None,
    limit: Most = 20,
    as_json: AsJson = False,
    token: Token = None,
) -> None:
    """List orders, newest first."""
    from deploy.orders import list_orders

    query = queried(status=status, q=customer, needs_attention="true" if needs_attention else None, limit=limit)
    raise typer.Exit(list_orders(query, for_programs=as_json, token=token))


@order.command("show")
def order_show(number: Number, as_json: AsJson = False, token: Token = None) -> None:
    """Show one order: its lines, its timeline, and where to look closer."""
    from deploy.orders import show_order

    raise typer.Exit(show_order(number, for_programs=as_json, token=token))


@order.command("explain")
def order_explain(number: Number, as_json: AsJson = False, token: Token = None) -> None:
    """Say what an order waits for, since when, what is being tried, and what a person can decide."""
    from deploy.orders import explain_order

    raise typer.Exit(explain_order(number, for_programs=as_json, token=token))


Numbers = Annotated[
    list[str], typer.Argument(help="Numbers or ids of orders; - reads them from a pipe, and asks nobody.")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done with each, and do nothing.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]


@order.command("cancel")
def order_cancel(
    numbers: Numbers,
    reason: Annotated[str, typer.Option(help="It is kept in the audit log.")],
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: AsJson = False,
    token: Token = None,
) -> None:
    """Cancel orders: money and goods go back; the exit code is 1 when one of them refuses."""
    from deploy import order_batches as batches

    errand = batches.cancel(reason)
    raise typer.Exit(batches.run(errand, numbers, dry_run=dry_run, yes=yes, for_programs=as_json, token=token))


@order.command("resolve")
def order_resolve(
    numbers: Numbers,
    decision: Annotated[Decision, typer.Option(help="As `sutler order explain` names it.")],
    note: Annotated[str, typer.Option(help="Why; it is kept in the audit log.")],
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: AsJson = False,
    token: Token = None,
) -> None:
    """Answer orders that wait for a person; the exit code is 1 when one of them refuses."""
    from deploy import order_batches as batches

    errand = batches.resolve(decision, note)
    raise typer.Exit(batches.run(errand, numbers, dry_run=dry_run, yes=yes, for_programs=as_json, token=token))


@order.command("hold")
def order_hold(
    numbers: Numbers,
    reason: Annotated[str, typer.Option(help="It is kept in the audit log.")],
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: AsJson = False,
    token: Token = None,
) -> None:
    """Let nothing of these orders leave until they are released."""
    from deploy import order_batches as batches

    errand = batches.hold(reason)
    raise typer.Exit(batches.run(errand, numbers, dry_run=dry_run, yes=yes, for_programs=as_json, token=token))


@order.command("release")
def order_release(
    numbers: Numbers, dry_run: DryRun = False, yes: Yes = False, as_json: AsJson = False, token: Token = None
) -> None:
    """Let orders that are held go on."""
    from deploy import order_batches as batches

    errand = batches.release()
    raise typer.Exit(batches.run(errand, numbers, dry_run=dry_run, yes=yes, for_programs=as_json, token=token))


@order.command("resume")
def order_resume(
    numbers: Numbers, dry_run: DryRun = False, yes: Yes = False, as_json: AsJson = False, token: Token = None
) -> None:
    """Begin the workflows of orders again that have lost them; content where they run."""
    from deploy import order_batches as batches

    errand = batches.resume()
    raise typer.Exit(batches.run(errand, numbers, dry_run=dry_run, yes=yes, for_programs=as_json, token=token))


payments = typer.Typer(no_args_is_help=True, help="What orders were paid, and what of it went back.")
app.add_typer(payments, name="payments")


@payments.command("list")
def payments_list(
    status: Annotated[PaymentStatus | None, typer.Option(help="Only those that are so.")] = None,
    limit: Most = 20,
    as_json: AsJson = False,
    token: Token = None,
) -> None:
    """List payments, those of the newest orders first."""
    from deploy.payments import list_payments

    raise typer.Exit(list_payments(queried(payment_status=status, limit=limit), for_programs=as_json, token=token))


@payments.command("show")
def payments_show(number: Number, as_json: AsJson = False, token: Token = None) -> None:
    """Show how an order was paid, its refunds and its disputes."""
    from deploy.payments import show_payment

    raise typer.Exit(show_payment(number, for_programs=as_json, token=token))


stock = typer.Typer(no_args_is_help=True, help="How much there is of what.")
app.add_typer(stock, name="stock")


@stock.command("list")
def stock_list(
    state: Annotated[StockState | None, typer.Option(help="Only that of which there is so much.")] = None,
    limit: Most = 20,
    as_json: AsJson = False,
    token: Token = None,
) -> None:
    """List variants with their units, the newest first."""
    from deploy.stock import list_stock

    raise typer.Exit(list_stock(queried(state=state, limit=limit), for_programs=as_json, token=token))


queues = typer.Typer(no_args_is_help=True, help="Task queues of the workflow engine.")
app.add_typer(queues, name="queues")


@queues.command("list")
def queues_list(as_json: AsJson = False) -> None:
    """Show who serves each task queue, and what waits in it; the exit code is 1 when nobody serves one."""
    from deploy.engine import list_queues

    raise typer.Exit(list_queues(for_programs=as_json))


schedules = typer.Typer(no_args_is_help=True, help="What the shop does by the clock.")
app.add_typer(schedules, name="schedules")

ScheduleId = Annotated[str, typer.Argument(help="As `sutler schedules list` has it.")]
ScheduleReason = Annotated[str, typer.Option(help="It is shown in the list.")]


@schedules.command("list")
def schedules_list(as_json: AsJson = False) -> None:
    """Show what comes by the clock, when it last did and when it will."""
    from deploy.engine import list_schedules

    raise typer.Exit(list_schedules(for_programs=as_json))


@schedules.command("pause")
def schedules_pause(schedule_id: ScheduleId, reason: ScheduleReason) -> None:
    """Let it not come until it is resumed."""
    from deploy.engine import pause_schedule

    raise typer.Exit(pause_schedule(schedule_id, reason))


@schedules.command("resume")
def schedules_resume(schedule_id: ScheduleId, reason: ScheduleReason) -> None:
    """Let it come by the clock again."""
    from deploy.engine import resume_schedule

    raise typer.Exit(resume_schedule(schedule_id, reason))


@schedules.command("run")
def schedules_run(schedule_id: ScheduleId) -> None:
    """Let it come now, besides."""
    from deploy.engine import run_schedule

    raise typer.Exit(run_schedule(schedule_id))


config = typer.Typer(no_args_is_help=True, help="What this shop is set to, and whether that is right.")
app.add_typer(config, name="config")


@config.command("check")
def config_check() -> None:
    """Look at all settings that this environment gives, and name everything that is wrong; then the exit code is 1."""
    from deploy.configuration import check

    raise typer.Exit(check())


@config.command("show")
def config_show(as_json: AsJson = False) -> None:
    """Show each setting, its value and where that is from; secrets are hidden."""
    from deploy.configuration import show

    raise typer.Exit(show(for_programs=as_json))


@config.command("docs")
def config_docs() -> None:
    """Print docs/configuration.md: all settings with what they mean."""
    from deploy.configuration import document

    typer.echo(document(), nl=False)


Name = Annotated[str, typer.Argument(help="As `sutler config changed` has it, such as log-level or limits.address.")]
Reason = Annotated[str, typer.Option(help="It is kept in the audit log.")]


@config.command("changed")
def config_changed(as_json: AsJson = False, token: Token = None) -> None:
    """Show what can be changed while the shop runs, and what was."""
    from deploy.changes import list_changes

    raise typer.Exit(list_changes(for_programs=as_json, token=token))


@config.command("set")
def config_set(
    name: Name,
    value: Annotated[str, typer.Argument(help="Such as DEBUG, 100/min, or on.")],
    reason: Reason,
    token: Token = None,
) -> None:
    """Change something in all processes of the running shop, within a second, until it is changed again."""
    from deploy.changes import change

    raise typer.Exit(change(name, value, reason, token))


@config.command("unset")
def config_unset(name: Name, reason: Reason, token: Token = None) -> None:
    """Have it again as the settings say, in all processes of the running shop."""
    from deploy.changes import change

    raise typer.Exit(change(name, None, reason, token))


api_keys = typer.Typer(no_args_is_help=True, help="API keys, by which machines may do what they were made for.")
app.add_typer(api_keys, name="api-keys")


@api_keys.command("list")
def api_keys_list(as_json: AsJson = False, token: Token = None) -> None:
    """List the newest API keys, what they are for, and when they were last used."""
    from deploy.api_keys import list_keys

    raise typer.Exit(list_keys(for_programs=as_json, token=token))


@api_keys.command("make")
def api_keys_make(
    name: Annotated[str, typer.Argument(help="Which machine it is for.")],
    permissions: Annotated[list[str], typer.Argument(help="Such as stock.read; docs/security.md has them all.")],
    days: Annotated[int, typer.Option(min=1, max=366, help="How long it is good.")] = 90,
    token: Token = None,
) -> None:
    """Make an API key and print it, this once: only its hash is kept."""
    from deploy.api_keys import make_key

    raise typer.Exit(make_key(name, permissions, days, token))


@api_keys.command("revoke")
def api_keys_revoke(
    key_id: Annotated[str, typer.Argument(help="Its id, as `sutler api-keys list` has it.")], token: Token = None
) -> None:
    """Make an API key good for nothing, at once."""
    from deploy.api_keys import revoke_key

    raise typer.Exit(revoke_key(key_id, token))


events = typer.Typer(no_args_is_help=True, help="What the shop tells other systems.")
app.add_typer(events, name="events")


@events.command("follow")
def events_follow(
    begin: Annotated[
        str,
        typer.Option(
            "--from",
            help="beginning, now, or any point: the number of an entry of a Redis stream, or a time such as "
            "2026-03-04T05:06Z of a Kafka topic.",
        ),
    ] = "now",
) -> None:
    """Print every event as a line of JSON, each once, as it is told."""
    from deploy.events import follow

    raise typer.Exit(follow(begin))


webhooks = typer.Typer(no_args_is_help=True, help="Servers that are told of events, and what came of it.")
app.add_typer(webhooks, name="webhooks")

EndpointId = Annotated[str, typer.Argument(help="Its id, as `sutler webhooks list` has it.")]


@webhooks.command("list")
def webhooks_list(as_json: AsJson = False, token: Token = None) -> None:
    """List the newest webhook endpoints, and how it stands with each."""
    from deploy.webhooks import list_endpoints

    raise typer.Exit(list_endpoints(for_programs=as_json, token=token))


@webhooks.command("show")
def webhooks_show(
    endpoint_id: EndpointId,
    status: Annotated[str | None, typer.Option(help="waiting, delivered or given_up.")] = None,
    limit: Most = 20,
    as_json: AsJson = False,
    token: Token = None,
) -> None:
    """Show an endpoint and what it was sent, newest first."""
    from deploy.webhooks import show_endpoint

    raise typer.Exit(show_endpoint(endpoint_id, status, limit, for_programs=as_json, token=token))


@webhooks.command("ping")
def webhooks_ping(endpoint_id: EndpointId, token: Token = None) -> None:
    """Send a message that says nothing, and tell what came of it; the exit code is 1 when it was not taken."""
    from deploy.webhooks import ping

    raise typer.Exit(ping(endpoint_id, token))


@webhooks.command("redeliver")
def webhooks_redeliver(
    delivery_id: Annotated[str, typer.Argument(help="Its id, as `sutler webhooks show` has it.")], token: Token = None
) -> None:
    """Send a delivery again: the same id, the same body."""
    from deploy.webhooks import redeliver

    raise typer.Exit(redeliver(delivery_id, token))


@webhooks.command("replay")
def webhooks_replay(
    endpoint_id: EndpointId,
    begin: Annotated[str, typer.Option("--from", help="A time with its zone, such as 2026-11-26T10:00:00Z.")],
    end: Annotated[str, typer.Option("--to", help="The first moment that does not belong to it.")],
    token: Token = None,
) -> None:
    """Send all events of a time again, each order's in their order."""
    from deploy.webhooks import replay

    raise typer.Exit(replay(endpoint_id, begin, end, token))


history = typer.Typer(no_args_is_help=True, help="What the engine has kept of orders.")
app.add_typer(history, name="history")


@history.command("save")
def history_save(
    order: Annotated[str, typer.Argument(help="Its number, such as S-1001, or its id.")],
    into: Annotated[Path, typer.Option(file_okay=False, help="Where to put the histories.")] = Path(
        "tests/replay/histories"
    ),
) -> None:
    """Replay all that the engine knows of an order, and keep it for the tests, without anybody in it."""
    from workers.saving import save

    raise typer.Exit(save(order, into))


keys = typer.Typer(no_args_is_help=True, help="The keys that sign the tokens of people who are signed in.")
app.add_typer(keys, name="keys")


@keys.command("list")
def keys_list(as_json: AsJson = False) -> None:
    """Show the keys: which one signs, which one will, and which ones only check what they have signed."""
    from runtime.rotation import listed

    _show_keys(listed, for_programs=as_json)


@keys.command("make")
def keys_make() -> None:
    """Make the first keys; does nothing when there are some."""
    from runtime.keys import make
    from runtime.rotation import listed
    from runtime.settings import Settings

    make(Settings().auth.signing_key_file)
    _show_keys(listed)


@keys.command("rotate")
def keys_rotate(
    now: Annotated[bool, typer.Option("--now", help="Also when others may not know the next key yet.")] = False,
) -> None:
    """Let the next key sign, and make another one to follow it. Nobody is signed out."""
    from runtime.rotation import rotate

    _show_keys(lambda auth: rotate(auth, at_once=now))


# A thumbprint may begin with a dash, and is no option then.
@keys.command("remove", context_settings={"ignore_unknown_options": True})
def keys_remove(kid: Annotated[str, typer.Argument(help="As `sutler keys list` shows it.")]) -> None:
    """Take a key away that others may have: all that it has signed is worth nothing from now on."""
    from runtime.rotation import remove

    _show_keys(lambda auth: remove(auth, kid))


def _show_keys(change: "Callable[[Auth], list[SigningKey]]", *, for_programs: bool = False) -> None:
    from deploy.visitor import as_json
    from runtime.keys import SigningKeyError
    from runtime.settings import Settings

    try:
        shown = change(Settings().auth)
    except (SigningKeyError, OSError) as refusal:
        typer.echo(str(refusal), err=True)
        raise typer.Exit(1) from None
    if for_programs:
        rows = [{"kid": key.kid, "state": key.state, "since": key.since.isoformat()} for key in shown]
        typer.echo(as_json(rows))
        return
    for key in shown:
        typer.echo(f"{key.kid}  {key.state:<8} since {key.since:%Y-%m-%d %H:%M} UTC")


accounts = typer.Typer(no_args_is_help=True, help="People who can sign in.")
app.add_typer(accounts, name="accounts")


@accounts.command("demo")
def accounts_demo() -> None:
    """Make the two verified demo accounts; refused in production."""
    import asyncio

    from runtime.accounts import NotInProductionError, make_demo_accounts
    from runtime.settings import Settings

    try:
        made = asyncio.run(make_demo_accounts(Settings()))
    except NotInProductionError as refusal:
        typer.echo(str(refusal), err=True)
        raise typer.Exit(1) from None
    for email, is_new in made.items():
        typer.echo(f"{email}: {'made' if is_new else 'was there already'}")


@accounts.command("invite")
def accounts_invite(
    email: Annotated[str, typer.Argument(help="Where the link to choose a password is mailed.")],
    role: Annotated[str, typer.Option(help="admin, operator, or another one of the staff.")] = "admin",
) -> None:
    """Invite somebody to the staff: the first admin of a shop, whom nobody else could invite."""
    import asyncio

    from api.invitations import invite_from_here
    from domain.customers import Role
    from domain.errors import Refusal
    from runtime.settings import Settings

    try:
        asyncio.run(invite_from_here(Settings(), email, Role(role)))
    except (Refusal, ValueError) as refusal:
        typer.echo(str(refusal), err=True)
        raise typer.Exit(1) from None
    typer.echo(f"{email} is invited.")


catalog = typer.Typer(no_args_is_help=True, help="The products of the shop.")
app.add_typer(catalog, name="catalog")


@catalog.command("import")
def catalog_import(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="Shopify's product CSV, or JSON lines.")],
    currency: Annotated[str | None, typer.Option(help="Of the prices; the shop's own by default.")] = None,
    errors: Annotated[Path | None, typer.Option(help="Write the rows that failed to this CSV.")] = None,
) -> None:
    """Import products; those that exist are updated, and the same file twice changes nothing.

    Products are known again by their handle (slug), variants by their SKU. Rows that cannot be imported are
    reported and do not stop the others; the exit code is 1 if there were any. JSON lines have the shape of
    POST /v1/products, with a category path:

    {"name": "Mug", "category": "Kitchen > Cups", "sku": "MUG-1", "price": "7.50", "stock_quantity": 12}
    """
    from runtime.catalog import run_import

    raise typer.Exit(run_import(file, currency=currency, errors=errors))


FailedRows = Annotated[
    Path | None, typer.Option(dir_okay=False, help="Write the rows that failed to this file, to mend and send again.")
]


@catalog.command("upload")
def catalog_upload(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="Shopify's product CSV, or JSON lines.")],
    currency: Annotated[str | None, typer.Option(help="Of the prices; the shop's own by default.")] = None,
    failed_rows: FailedRows = None,
    token: Token = None,
) -> None:
    """Send products to the running shop, which imports them in the background, and watch it.

    The import survives crashes and restarts; Ctrl-C leaves it running. The exit code is 1 if a row failed.
    """
    from deploy.catalog_upload import upload

    raise typer.Exit(upload(file, currency=currency, failed_rows=failed_rows, token=token))


@catalog.command("follow")
def catalog_follow(
    import_id: Annotated[str | None, typer.Argument(help="As `sutler catalog upload` names it; or the newest.")] = None,
    failed_rows: FailedRows = None,
    token: Token = None,
) -> None:
    """Watch an import that runs, or see what became of it."""
    from deploy.catalog_upload import follow

    raise typer.Exit(follow(import_id, failed_rows=failed_rows, token=token))


@catalog.command("export")
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
    currency: Annotated[str | None, typer.Option(help="Of the prices; the shop's own by default.")] = None,
    token: Token = None,
) -> None:
    """Write all products but the archived to a file that `sutler catalog import` takes, from one snapshot.

    A .csv is as Shopify has it; any other name gets JSON lines, which hold all that an import takes, in one currency.
    What a CSV cannot hold is left out and named; the exit code is 1 if there was any.
    """
    if to is not None and file is None:
        from deploy.catalog_export import export

        raise typer.Exit(export(to, currency=currency, export_id=export_id, token=token))
    if file is not None and to is None:
        from runtime.catalog_export import run_export

        raise typer.Exit(run_export(file, currency=currency))
    raise typer.BadParameter("say where to write it: FILE, or --to FILE to have the running shop write it")


@catalog.command("demo")
def catalog_demo(
    products: Annotated[int, typer.Option(min=1, max=60_000, help="How many of the best-selling.")] = 6000,
    everything: Annotated[bool, typer.Option("--all", help="All 91,515, also what nobody bought.")] = False,
    if_empty: Annotated[bool, typer.Option("--if-empty", help="Do nothing when there are products already.")] = False,
) -> None:
    """Import real groceries with categories, brands, sizes, prices and stock, to try the shop with."""
    from runtime.catalog import run_demo

    raise typer.Exit(run_demo(None if everything else products, if_empty=if_empty))


promotions = typer.Typer(no_args_is_help=True, help="Promotions.")
app.add_typer(promotions, name="promotions")


@promotions.command("demo")
def promotions_demo(
    coupons: Annotated[int, typer.Option(min=1, max=300, help="How many of those redeemed most often.")] = 50,
) -> None:
    """Make promotions of real coupons for the groceries of `sutler catalog demo`; `1234-18` is a code of one."""
    from runtime.promotions import run_demo

    raise typer.Exit(run_demo(coupons))


def main() -> None:
    """Wrong settings are refused in a sentence each, which quotes no value: that may be a secret."""
    from pydantic import ValidationError
    from pydantic_settings import SettingsError

    try:
        app()
    except ValidationError as wrong:
        if wrong.title != "Settings":
            raise
        for error in wrong.errors(include_url=False, include_context=False, include_input=False):
            variable = "__".join(str(place) for place in error["loc"]).upper()
            words = error["msg"].removeprefix("Value error, ")
            typer.echo(words if words.startswith("APP_") else f"APP_{variable}: {words}", err=True)
        sys.exit(2)
    except SettingsError as wrong:
        typer.echo(str(wrong), err=True)
        sys.exit(2)


if __name__ == "__main__":
    main()
