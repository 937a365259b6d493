"""URLs on the main host that play tokens open."""

from django.urls import URLPattern, URLResolver, path, re_path

from playgateway import gateway, personal

urlpatterns: list[URLPattern | URLResolver] = [
    path("play/<str:token>/<path:path>", gateway.play),
    re_path(r"^rss/(?P<token>[^/]+)/(?P<name>subscriptions|saved|queue)(?:\.xml)?$", personal.whole_list),
    re_path(
        r"^rss/(?P<token>[^/]+)/(?P<kind>collections|playlists)/(?P<list_id>[0-9A-Fa-f-]{36})(?:\.xml)?$",
        personal.one_list,
    ),
    # any other address with these prefixes gets the same answer as one that no token opens
    re_path(r"^(?:play|rss)/", personal.nothing),
]
