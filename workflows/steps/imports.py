"""What a story may ask about imports of the catalogue."""

from domain.imports import ImportProgress, ReadChunk, Tidied, TidyUp
from workflows.steps.patience import A_CHUNK
from workflows.steps.step import Step

read_chunk = Step("imports.read_chunk", ReadChunk, ImportProgress, A_CHUNK)
"""Some rows into the catalogue and what became of them noted, in one transaction; a chunk is read once.
Then, as long as the turn is not over, those behind it."""

tidy_up = Step("imports.tidy_up", TidyUp, Tidied, A_CHUNK)
"""Files and failed rows of imports that ended long ago are forgotten, and files of exports."""
