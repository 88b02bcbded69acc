"""What the engine has kept of a story."""

import base64
import json
from collections.abc import AsyncIterator

from temporalio.client import Client

from runtime.payload_codec import Encryption


async def told_of(engine: Client, workflow_id: str) -> str:
    """Its whole history and its description, as they are kept and with the payloads decoded."""
    story = engine.get_workflow_handle(workflow_id)
    history = (await story.fetch_history()).to_json()
    described = str((await story.describe()).raw_description)
    return "\n".join([history, decoded(history), described])


def decoded(history: str) -> str:
    """Payloads are base64 in a history's JSON: what they hold, one after the other."""
    found: list[str] = []

    def walk(part: object) -> None:
        match part:
            case {"data": str(data)}:
                found.append(base64.b64decode(data).decode(errors="replace"))
            case dict():
                for value in part.values():
                    walk(value)
            case list():
                for value in part:
                    walk(value)

    try:
        walk(json.loads(history))
    except json.JSONDecodeError:
        return history
    return "\n".join(found)


async def all_that_is_told(engine: Client) -> AsyncIterator[tuple[str, str]]:
    """Ids of all workflows of the namespace, each with everything that can be read of it."""
    async for run in engine.list_workflows(""):
        history = await engine.get_workflow_handle(run.id, run_id=run.run_id).fetch_history()
        if isinstance(codec := engine.data_converter.payload_codec, Encryption):
            for event in history.events:
                codec.decrypt_in_place(event)
        told = history.to_json()
        yield run.id, "\n".join([told, decoded(told), str(run.raw_info)])
