"""What play tokens open, on the main host."""

from django.urls import URLPattern, URLResolver, path, re_path

from playgateway import gateway, personal

urlpatterns: list[URLPattern | URLResolver] = [
    path("play/<str:token>/<path:path>", gateway.play),
    re_path(r"^rss/(?P<token>[^/]+)/(?P<name>subscriptions|saved|queue)(?:\.xml)?$", personal.whole_list),
    re_path(
        r"^rss/(?P<token>[^/]+)/(?P<kind>collections|playlists)/(?P<list_id>[0-9A-Fa-f-]{36})(?:\.xml)?$",
        personal.one_list,
    ),
    # whatever else begins so looks like what no token opens
    re_path(r"^(?:play|rss)/", personal.nothing),
]
