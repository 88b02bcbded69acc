"""Servers that are told of events: what came of it, and how they are told again."""

from typing import Annotated

import typer

from cli.options import AsJson, Most, Token

app = typer.Typer(no_args_is_help=True, help="Servers that are told of events, and what came of it.")

EndpointId = Annotated[str, typer.Argument(help="Its id, as `sutler webhooks list` has it.")]


@app.command("list")
def webhooks_list(as_json: AsJson = False, token: Token = None) -> int:
    """List the newest webhook endpoints, and how it stands with each."""
    from deploy.webhooks import list_endpoints

    return list_endpoints(for_programs=as_json, token=token)


@app.command("show")
def webhooks_show(
    endpoint_id: EndpointId,
    status: Annotated[str | None, typer.Option(help="waiting, delivered or given_up.")] = None,
    limit: Most = 20,
    as_json: AsJson = False,
    token: Token = None,
) -> int:
    """Show an endpoint and what it was sent, newest first."""
    from deploy.webhooks import show_endpoint

    return show_endpoint(endpoint_id, status, limit, for_programs=as_json, token=token)


@app.command("ping")
def webhooks_ping(endpoint_id: EndpointId, token: Token = None) -> int:
    """Send a message that says nothing, and tell what came of it; the exit code is 1 when it was not taken."""
    from deploy.webhooks import ping

    return ping(endpoint_id, token)


@app.command("redeliver")
def webhooks_redeliver(
    delivery_id: Annotated[str, typer.Argument(help="Its id, as `sutler webhooks show` has it.")], token: Token = None
) -> int:
    """Send a delivery again: the same id, the same body."""
    from deploy.webhooks import redeliver

    return redeliver(delivery_id, token)


@app.command("replay")
def webhooks_replay(
    endpoint_id: EndpointId,
    begin: Annotated[str, typer.Option("--from", help="A time with its zone, such as 2026-11-26T10:00:00Z.")],
    end: Annotated[str, typer.Option("--to", help="The first moment that does not belong to it.")],
    token: Token = None,
) -> int:
    """Send all events of a time again, each order's in their order."""
    from deploy.webhooks import replay

    return replay(endpoint_id, begin, end, token)
