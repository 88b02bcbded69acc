"""The codec endpoint: what Temporal's Web UI and command line need to show encrypted payloads to an operator."""

from collections.abc import Sequence
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
    """As the protocol of remote codecs has it, in which no payloads are no field."""

    payloads: list[dict[str, Any]] = Field(default=[], max_length=10_000)


class CodecController(Controller):
    path = "/codec"
    tags = ("Machines",)

    @post(
        "/decode",
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

        return _told([readable(payload) for payload in _given(data)], resources)

    @post(
        "/encode",
        status_code=200,
        permission=Permission.ENGINE_READ,
        summary="Encrypt payloads for the workflow engine",
        responses=refuses(*DENIED),
    )
    async def encode(self, data: Encoded, resources: Resources) -> Response[dict[str, Any]]:
        """For `temporal workflow query` and others that send something along, even if it is only empty.

        In a shop that encrypts nothing all is given back as it came.
        """
        codec = encryption(resources.settings.temporal)
        return _told([codec.encrypted(payload) if codec else payload for payload in _given(data)], resources)

    @route(
        ["/decode", "/encode"],
        http_method=HttpMethod.OPTIONS,
        status_code=204,
        permission=Permission.PROBE,
        include_in_schema=False,
    )
    async def allow_the_web_ui(self, resources: Resources) -> Response[None]:
        """A browser asks whether a page of the Web UI may ask."""
        allowed = {
            "Access-Control-Allow-Methods": "POST",
            "Access-Control-Allow-Headers": "authorization, content-type, x-namespace",
            "Access-Control-Max-Age": "600",
        }
        return Response(None, status_code=204, headers={**readable_by_the_web_ui(resources), **allowed})


def _given(data: Encoded) -> Sequence[Payload]:
    try:
        return ParseDict({"payloads": data.payloads}, Payloads()).payloads
    except ParseError:
        raise Refusal("malformed_request", "These are no payloads.") from None


def _told(payloads: Sequence[Payload], resources: Resources) -> Response[dict[str, Any]]:
    told = MessageToDict(Payloads(payloads=payloads))
    return Response({"payloads": [], **told}, headers=readable_by_the_web_ui(resources))


def readable_by_the_web_ui(resources: Resources) -> dict[str, str]:
    return {
        "Access-Control-Allow-Origin": resources.settings.temporal.ui_url.rstrip("/"),
        "Access-Control-Allow-Credentials": "true",
        "Cache-Control": "no-store",
        "Vary": "Origin",
    }
