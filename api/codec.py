"""The codec endpoint: what Temporal's Web UI and command line need to show encrypted payloads to an operator."""

from typing import Any

from google.protobuf.json_format import MessageToDict, ParseDict, ParseError
from litestar import Controller, Response, post, route
from litestar.enums import HttpMethod
from pydantic import Field
from temporalio.api.common.v1 import Payload, Payloads

from api.errors import refuses
from api.operators import DENIED
from api.schemas import Input
from domain.errors import Refusal
from domain.permissions import Permission
from runtime.payload_codec import NotDecryptableError
from runtime.resources import Resources
from runtime.temporal import encryption


class Encoded(Input):
    """As the protocol of remote codecs has it."""

    payloads: list[dict[str, Any]] = Field(max_length=10_000)


class CodecController(Controller):
    path = "/codec/decode"
    tags = ("Machines",)

    @post(
        status_code=200,
        permission=Permission.ENGINE_READ,
        summary="Decrypt payloads of the workflow engine",
        responses=refuses(*DENIED),
    )
    async def decode(self, data: Encoded, resources: Resources) -> Response[dict[str, Any]]:
        """For `temporal --codec-endpoint …/codec --codec-auth "Bearer …"`, and for the Web UI.

        What cannot be decrypted is given back as it came.
        """
        codec = encryption(resources.settings.temporal)

        def readable(payload: Payload) -> Payload:
            try:
                return codec.decrypted(payload) if codec else payload
            except NotDecryptableError:
                return payload

        try:
            given = ParseDict({"payloads": data.payloads}, Payloads())
        except ParseError:
            raise Refusal("malformed_request", "These are no payloads.") from None
        told = Payloads(payloads=[readable(payload) for payload in given.payloads])
        return Response({"payloads": [], **MessageToDict(told)}, headers=readable_by_the_web_ui(resources))

    @route(http_method=HttpMethod.OPTIONS, status_code=204, permission=Permission.PROBE, include_in_schema=False)
    async def allow_the_web_ui(self, resources: Resources) -> Response[None]:
        """A browser asks whether a page of the Web UI may ask."""
        allowed = {
            "Access-Control-Allow-Methods": "POST",
            "Access-Control-Allow-Headers": "authorization, content-type, x-namespace",
            "Access-Control-Max-Age": "600",
        }
        return Response(None, status_code=204, headers={**readable_by_the_web_ui(resources), **allowed})


def readable_by_the_web_ui(resources: Resources) -> dict[str, str]:
    return {
        "Access-Control-Allow-Origin": resources.settings.temporal.ui_url.rstrip("/"),
        "Access-Control-Allow-Credentials": "true",
        "Cache-Control": "no-store",
        "Vary": "Origin",
    }
