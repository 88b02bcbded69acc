"""Who serves the task queues of the workflow engine."""

import typer

from cli.options import AsJson

app = typer.Typer(no_args_is_help=True, help="Task queues of the workflow engine.")


@app.command("list")
def queues_list(as_json: AsJson = False) -> int:
    """Show who serves each task queue, and what waits in it; the exit code is 1 when nobody serves one."""
    from deploy.engine import list_queues

    return list_queues(for_programs=as_json)
