"""What a story may ask about exports of the catalogue."""

from domain.exports import ExportWritten, WriteExport
from workflows.steps.patience import A_PICTURE
from workflows.steps.step import Step

write = Step("exports.write", WriteExport, ExportWritten, A_PICTURE)
"""The whole catalogue into a file, from one picture of it; content when it is written or cancelled."""
