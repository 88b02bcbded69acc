"""Files of products on their way into the catalogue."""

from dataclasses import replace

from temporalio import workflow

from domain.imports import ImportCatalog, ImportProgress, ImportStatus, ReadChunk, Tidied, TidyUp
from workflows.steps import imports


@workflow.defn
class CatalogImport:
    """The rows of one file, chunk after chunk, until all are read or somebody cancels; later only those that failed."""

    @workflow.run
    async def run(self, request: ImportCatalog) -> ImportStatus:
        number, turns = request.chunk, 1
        while not (progress := await self._read(request, number)).is_over:
            number = max(number + 1, progress.chunks)
            if turns == request.chunks_of_a_run:
                workflow.continue_as_new(replace(request, chunk=number))
            turns += 1
        return progress.status

    async def _read(self, request: ImportCatalog, number: int) -> ImportProgress:
        chunk = ReadChunk(
            import_id=request.import_id,
            attempt=request.attempt,
            number=number,
            turn_seconds=request.turn_seconds,
        )
        progress = await imports.read_chunk(chunk)
        self._describe(progress)
        return progress

    def _describe(self, progress: ImportProgress) -> None:
        workflow.set_current_details(
            f"Import {progress.import_id} is {progress.status}: {progress.rows} rows read, {progress.failed} failed."
        )


@workflow.defn
class CatalogTidying:
    """What is kept of imports and exports is thrown away some days after they have ended."""

    @workflow.run
    async def run(self, request: TidyUp) -> Tidied:
        return await imports.tidy_up(request)
