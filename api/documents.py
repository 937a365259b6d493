"""/api/schema/ and /api/docs/: the OpenAPI document and a page to try it, with assets served from here."""

import functools
from typing import Any

import msgspec
from django.urls import path
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.views import SpectacularSwaggerSplitView
from rest_framework.request import Request
from rest_framework.response import Response

from api.views import PublicView

# Swagger UI writes style attributes; scripts come only from this server, the page's own as a file (?script).
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


@functools.cache
def document() -> bytes:
    """Return the OpenAPI document, built once: the code does not change while a process runs."""
    generator: Any = SchemaGenerator
    return msgspec.json.encode(generator().get_schema(request=None, public=True))


class SchemaView(PublicView):
    throttle_classes = ()

    def get(self, request: Request) -> Response:
        return Response(document(), headers={"Cache-Control": "public, max-age=300"})


class DocsView(SpectacularSwaggerSplitView):
    public = True
    # The page holds no data, so it needs no authentication.
    authentication_classes = ()
    permission_classes = ()
    url_name = "schema"

    def finalize_response(self, *args: Any, **kwargs: Any) -> Response:
        response = super().finalize_response(*args, **kwargs)
        response["Content-Security-Policy"] = POLICY
        return response


paths = [
    path("schema/", SchemaView.as_view(), name="schema"),
    path("docs/", DocsView.as_view(), name="docs"),
]
