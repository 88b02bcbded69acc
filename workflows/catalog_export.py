"""The whole catalogue on its way into a file."""

from temporalio import workflow

from domain.exports import ExportWritten, WriteExport
from workflows.steps import exports


@workflow.defn
class CatalogExport:
    """One picture of the catalogue, written by whichever worker lives.

    It is one step, because a picture cannot be handed on: it ends with the connection that sees it.
    """

    @workflow.run
    async def run(self, request: WriteExport) -> ExportWritten:
        written = await exports.write(request)
        workflow.set_current_details(
            f"The export is {written.status}: {written.products} products are written, {written.left_out} left out."
        )
        return written
