"""What stories count of themselves. The engine counts it once, however often a story is replayed."""

from temporalio import workflow


def checkout_decided(outcome: str) -> None:
    """``outcome`` is ``confirmed``, or the code by which the checkout was refused."""
    meter, tags = workflow.metric_meter(), {"outcome": outcome}
    meter.create_counter("sutler_checkouts", "Checkouts by how they ended").add(1, tags)
    lasted = workflow.now() - workflow.info().start_time
    meter.create_histogram_timedelta(
        "sutler_checkout_duration", "From the beginning of a checkout to its confirmation or refusal"
    ).record(lasted, tags)
