"""What the engine has kept of a story."""

import base64
import json

from temporalio.client import Client


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
