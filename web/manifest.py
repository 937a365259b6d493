"""/manifest.webmanifest: what a phone needs to install the pages as an app, and to share addresses with it.

There is no service worker: a listener's pages are not stored in any browser storage.
"""

from typing import Any, Final

from django.http import HttpRequest, JsonResponse
from django.templatetags.static import static
from django.utils.translation import get_language
from django.utils.translation import gettext as _
from django.views.decorators.cache import cache_control
from django.views.decorators.http import require_safe
from django.views.decorators.vary import vary_on_headers

GROUND: Final = "#14594b"
PAPER: Final = "#faf8f4"
# the purpose of each icon; its name ends with its side length in pixels (tests/icons.py)
PAINTED: Final = {
    "icon-192": "any",
    "icon-512": "any",
    "maskable-192": "maskable",
    "maskable-512": "maskable",
}


@require_safe
@cache_control(max_age=3600, public=True)
@vary_on_headers("Accept-Language")
def manifest(request: HttpRequest) -> JsonResponse:
    """Return the manifest in the language that the browser asks for."""
    content: dict[str, Any] = {
        "id": "/",
        "name": "Balados",
        "short_name": "Balados",
        "description": _("Your podcasts, in step everywhere"),
        "lang": get_language(),
        "start_url": "/",
        "scope": "/",
        "display": "standalone",
        "background_color": PAPER,
        "theme_color": GROUND,
        "categories": ["music", "entertainment", "news"],
        "icons": _icons(),
        "shortcuts": [
            {"name": _("Podcasts"), "url": "/subscriptions"},
            {"name": _("Discover"), "url": "/trending/podcasts"},
            {"name": _("Add a podcast"), "url": "/subscriptions/new"},
            {"name": _("Search"), "url": "/search"},
        ],
        "share_target": {
            "action": "/subscriptions/new",
            "method": "GET",
            "params": {"title": "title", "text": "text", "url": "url"},
        },
    }
    return JsonResponse(content, content_type="application/manifest+json")


def _icons() -> list[dict[str, str]]:
    drawn = {"src": static("balados.svg"), "sizes": "any", "type": "image/svg+xml", "purpose": "any"}
    return [drawn, *(_icon(name, purpose) for name, purpose in PAINTED.items())]


def _icon(name: str, purpose: str) -> dict[str, str]:
    side = name.rpartition("-")[2]
    path = static(f"icons/{name}.png")
    return {"src": path, "sizes": f"{side}x{side}", "type": "image/png", "purpose": purpose}
