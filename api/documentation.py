"""The API's description: for programs at ``/openapi.json``, for people at ``/docs``. Works without the internet."""

import base64
import hashlib
from collections.abc import Iterator
from functools import lru_cache
from importlib.resources import files
from typing import Any, Literal

from litestar import Litestar, Request, Response, Router, get
from litestar.exceptions import NotFoundException
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import OpenAPIRenderPlugin
from litestar.openapi.spec import Components, SecurityScheme, Tag
from litestar.serialization import encode_json
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from api.auth import BEARER, routes_of
from api.schemas import Input
from domain.permissions import Permission

DESCRIPTION = """
Errors are RFC 9457 problem details: decide by their `code`. Money is a decimal string with its currency. Ids are
UUIDs, times are UTC. Fields that are not known are refused, so that a typo is never silently ignored.
"""

TAGS = [
    Tag(name="Identity", description="Accounts and sign-in"),
    Tag(name="Machines", description="For those who run the shop"),
]

# Swagger UI as it is published, from a package that carries its files.
ASSETS = {
    "swagger-ui.css": ("stylesheets/swagger-ui.css", "text/css"),
    "swagger-ui-bundle.js": ("javascripts/swagger-ui-bundle.js", "text/javascript"),
}

SCRIPT = """
SwaggerUIBundle({url: "/openapi.json", dom_id: "#documentation", deepLinking: true, persistAuthorization: true});
"""

PAGE_POLICY = (
    "default-src 'none'; connect-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'; "
    f"script-src 'self' 'sha256-{base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()}'; "
    "frame-ancestors 'none'"
)
"""Swagger UI sets styles by itself."""

PAGE = f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>API</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="/docs/assets/swagger-ui.css">
</head>
<body>
<div id="documentation"></div>
<script src="/docs/assets/swagger-ui-bundle.js"></script>
<script>{SCRIPT}</script>
</body>
</html>
""".encode()


class SwaggerPage(OpenAPIRenderPlugin):
    def __init__(self) -> None:
        super().__init__(path="/")

    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:  # noqa: ARG002
        """The page fetches the document itself."""
        return PAGE


def openapi(shop_name: str) -> OpenAPIConfig:
    return OpenAPIConfig(
        title=f"{shop_name} API",
        version="1",
        description=DESCRIPTION,
        tags=TAGS,
        use_handler_docstrings=True,
        components=Components(
            security_schemes={
                "bearer": SecurityScheme(
                    type="http",
                    scheme="bearer",
                    bearer_format="JWT",
                    description="The `access_token` of `POST /v1/auth/login`",
                )
            }
        ),
        openapi_router=Router(
            path="/docs",
            route_handlers=[asset],
            include_in_schema=False,
            opt={"permission": Permission.PROBE},
            response_headers={"Content-Security-Policy": PAGE_POLICY},
        ),
        render_plugins=[SwaggerPage()],
    )


@get("/openapi.json", permission=Permission.PROBE, include_in_schema=False, sync_to_thread=False)
def openapi_document(request: Request[Any, Any, Any]) -> Response[bytes]:
    app = request.app
    if "openapi_document" not in app.state:
        app.state.openapi_document = encode_json(document(app))
    return Response(app.state.openapi_document, media_type="application/json")


def document(app: Litestar) -> dict[str, Any]:
    """Litestar's description of the routes, and pydantic's of the bodies, which tells lengths and patterns."""
    described: dict[str, Any] = app.openapi_schema.to_schema()
    schemas: dict[str, Any] = described["components"]["schemas"]
    models: list[tuple[type[BaseModel], Literal["validation", "serialization"]]] = [
        (model, "validation" if issubclass(model, Input) else "serialization")
        for model in _descendants(BaseModel)
        if model.__module__.startswith("api.") and model.__name__ in schemas
    ]
    _, definitions = models_json_schema(models, ref_template="#/components/schemas/{model}")
    schemas.update(definitions.get("$defs", {}))
    for route in routes_of(app):
        operation = described["paths"].get(route.path, {}).get(route.method.lower())
        if operation is not None and not route.is_open:
            operation |= {"security": BEARER, "x-permission": route.permission}
    return described


def _descendants(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    for child in model.__subclasses__():
        yield child
        yield from _descendants(child)


@get("/assets/{name:str}", permission=Permission.PROBE, sync_to_thread=False)
def asset(name: str) -> Response[bytes]:
    if name not in ASSETS:
        raise NotFoundException
    path, media_type = ASSETS[name]
    return Response(_content(path), media_type=media_type, headers={"Cache-Control": "public, max-age=86400"})


@lru_cache(maxsize=len(ASSETS))
def _content(path: str) -> bytes:
    return (files("mkdocs_swagger_ui_tag") / "swagger-ui" / path).read_bytes()
