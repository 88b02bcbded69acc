"""What the shop does by the clock: seen, paused, resumed and run besides."""

from typing import Annotated

import typer

from cli.options import AsJson

app = typer.Typer(no_args_is_help=True, help="What the shop does by the clock.")

ScheduleId = Annotated[str, typer.Argument(help="As `sutler schedules list` has it.")]
ScheduleReason = Annotated[str, typer.Option(help="It is shown in the list.")]


@app.command("list")
def schedules_list(as_json: AsJson = False) -> int:
    """Show what comes by the clock, when it last did and when it will."""
    from deploy.engine import list_schedules

    return list_schedules(for_programs=as_json)


@app.command("pause")
def schedules_pause(schedule_id: ScheduleId, reason: ScheduleReason) -> int:
    """Let it not come until it is resumed."""
    from deploy.engine import pause_schedule

    return pause_schedule(schedule_id, reason)


@app.command("resume")
def schedules_resume(schedule_id: ScheduleId, reason: ScheduleReason) -> int:
    """Let it come by the clock again."""
    from deploy.engine import resume_schedule

    return resume_schedule(schedule_id, reason)


@app.command("run")
def schedules_run(schedule_id: ScheduleId) -> int:
    """Let it come now, besides."""
    from deploy.engine import run_schedule

    return run_schedule(schedule_id)
