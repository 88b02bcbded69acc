"""The catalog queue: files of products, apart from all that customers wait for."""

from datetime import timedelta

from temporalio.client import ScheduleCalendarSpec, ScheduleRange, ScheduleSpec

from activities.exports import ExportActivities
from activities.imports import ImportActivities
from domain.imports import TidyUp
from runtime.resources import Resources
from workers.duty import Duty, Scheduled
from workflows import names
from workflows.catalog_export import CatalogExport
from workflows.catalog_import import CatalogImport, CatalogTidying

EVERY_NIGHT = ScheduleSpec(calendars=[ScheduleCalendarSpec(hour=[ScheduleRange(4)], minute=[ScheduleRange(10)])])


def build(resources: Resources) -> Duty:
    settings = resources.settings.catalog
    imports = ImportActivities(resources.sessions, chunk_rows=settings.chunk_rows)
    exports = ExportActivities(resources.engine, resources.sessions)
    return Duty(
        workflows=[CatalogImport, CatalogExport, CatalogTidying],
        activities=[imports.read_chunk, imports.tidy_up, exports.write],
        scheduled=[
            Scheduled(
                id=names.CATALOG_TIDYING_ID,
                story=CatalogTidying,
                request=TidyUp(older_than_seconds=settings.keep.total_seconds()),
                when=EVERY_NIGHT,
                catch_up=timedelta(hours=12),
                why="files of imports and exports that ended days ago",
            )
        ],
    )
