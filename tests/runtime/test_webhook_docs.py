"""What docs/webhooks.md has people write works with what the shop sends."""

import os
import re
from pathlib import Path
from typing import Any
from uuid import uuid4

from domain.webhooks import Letter, new_secret
from runtime.sealing import Seal
from runtime.webhooks import Postman, about
from tests.support.receiver import a_receiver

PAGE = Path(__file__).parents[2] / "docs" / "webhooks.md"


async def test_the_receiver_of_the_page_verifies_what_the_shop_sends() -> None:
    [code] = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    names: dict[str, Any] = {}
    exec(code, names)  # noqa: S102 (it is ours)
    seal, secret, endpoint = Seal([os.urandom(32)]), new_secret(), uuid4()
    async with a_receiver() as receiver:
        letter = Letter(
            delivery_id=uuid4(),
            endpoint_id=endpoint,
            url=receiver.url,
            event_id=uuid4(),
            is_ping=False,
            body=b'{"id":"1","type":"order.confirmed","subject":"orders/1"}',
            sealed_secrets=(seal.close(secret.encode(), about(endpoint)),),
        )
        await Postman(seal, seconds=5, is_internet=False).send(letter)
    [told] = receiver.told

    assert names["hear"](secret, told.headers, told.body) == 204
    assert names["seen"] == {"1"}
    assert names["hear"](secret, told.headers, told.body) == 204
    assert names["hear"](new_secret(), told.headers, told.body) == 400
