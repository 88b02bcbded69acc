"""Answers that clients may keep and ask again about, and changes that must not overwrite somebody else's."""

import re
from hashlib import blake2b
from typing import Annotated, Any

from litestar import Response
from litestar.params import Parameter
from litestar.serialization import encode_json
from litestar.status_codes import HTTP_200_OK, HTTP_304_NOT_MODIFIED

from api.schemas import VersionedOutput

ASK_AGAIN = "public, max-age=0, must-revalidate"
"""Keep it, but ask whether it changed: stock is part of nearly every answer."""
KEEP_NOTHING = "private, no-store"

AcceptLanguage = Annotated[
    str, Parameter(header="Accept-Language", default="", description="In which of the shop's languages texts are shown")
]
IfMatch = Annotated[
    str | None, Parameter(header="If-Match", default=None, description="The `ETag` that the change is based on")
]
IfNoneMatch = Annotated[
    str | None, Parameter(header="If-None-Match", default=None, description="The `ETag` of what you have")
]

TAG = re.compile(r'(W/)?"([^"]*)"')


def ask_again_after(gateway_seconds: int) -> str:
    """The same, but gateways, which all customers share, may show it for a moment before they ask."""
    return ASK_AGAIN.replace("must", f"s-maxage={gateway_seconds}, must") if gateway_seconds else ASK_AGAIN


def tag_of(body: bytes, *, version: int | None = None) -> str:
    """A strong tag: other bytes, other tag. With a version it also says which one a change will be based on."""
    digest = blake2b(body, digest_size=12).hexdigest()
    return f'"{digest}"' if version is None else f'"{version}-{digest}"'


def answer(
    body: bytes,
    *,
    if_none_match: str | None = None,
    version: int | None = None,
    status_code: int = HTTP_200_OK,
    cache: str = ASK_AGAIN,
    language: str | None = None,
) -> Response[Any]:
    """The JSON with its tag; 304 and no body for a client that has it already.

    The language is named where there are several to choose from.
    """
    tag = tag_of(body, version=version)
    headers = {"ETag": tag, "Cache-Control": cache, "Vary": "Authorization"}
    if language is not None:
        headers |= {"Content-Language": language, "Vary": "Authorization, Accept-Language"}
    if is_known(if_none_match, tag):
        return Response(None, status_code=HTTP_304_NOT_MODIFIED, headers=headers)
    return Response(body, status_code=status_code, media_type="application/json", headers=headers)


def tagged(body: VersionedOutput, *, status_code: int = HTTP_200_OK) -> Response[Any]:
    """What is one person's, with the version on which they may base a change."""
    told = encode_json(body.model_dump(mode="json"))
    return answer(told, version=body.version, status_code=status_code, cache=KEEP_NOTHING)


def is_known(if_none_match: str | None, tag: str) -> bool:
    """Does the client have the bytes of this tag?"""
    if if_none_match is None:
        return False
    if if_none_match == tag:
        return True
    return if_none_match.strip() == "*" or tag in {f'"{found}"' for _, found in TAG.findall(if_none_match)}


def named_versions(if_match: str | None) -> list[int] | None:
    """The same as it travels to workflows."""
    versions = expected_versions(if_match)
    return None if versions is None else sorted(versions)


def expected_versions(if_match: str | None) -> frozenset[int] | None:
    """The versions that an ``If-Match`` names; ``None`` when the change may be based on any.

    Only the version of a tag counts, not its digest: that a unit was sold meanwhile does not hinder a new name.
    """
    if if_match is None or if_match.strip() == "*":
        return None
    versions = (found.partition("-")[0] for is_weak, found in TAG.findall(if_match) if not is_weak)
    return frozenset(
        int(version) for version in versions if version.isascii() and version.isdecimal() and len(version) < 17
    )
