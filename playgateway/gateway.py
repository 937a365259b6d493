"""``/play/{token}/{feed}/{item}``: redirects a player to an episode's file, and records the play."""

from collections.abc import Callable
from datetime import datetime
from functools import wraps

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.template.loader import render_to_string
from django.utils import timezone, translation

from playgateway import episodes, links, promptly, recording, responses, seeking, sessions, tokens, window
from playgateway.episodes import PlayableEpisode
from playgateway.links import Named
from playgateway.tokens import Bearer
from playgateway.window import Kind
from projections.failures import is_outage

View = Callable[..., HttpResponseBase]


def opened_by_token(view: View) -> View:
    """Allow only GET and HEAD, and answer 503 while a store is unavailable."""

    @wraps(view)
    def wrapped(request: HttpRequest, *args: object, **names: object) -> HttpResponseBase:
        if request.method not in responses.METHODS:
            return responses.not_allowed()
        try:
            return view(request, *args, **names)
        except Exception as failure:
            if not is_outage(failure):
                raise
            return responses.away()

    return wrapped


@opened_by_token
def play(request: HttpRequest, token: str, path: str) -> HttpResponse:
    """Redirect (302) to the file at the address that the feed gives, never to
    one that the request contains."""
    now = timezone.now()
    named = links.read(path)
    if named is None:
        is_good = tokens.find(token, now) is not None
        return responses.not_found() if is_good else responses.not_a_token(request)
    bearer, found = episodes.find(token, named, _signature(request), now)
    if bearer is None:
        return responses.not_a_token(request)
    if found is None:
        return responses.not_found()
    if not found.is_signed and _is_page_wanted(request):
        return _page(request, found)
    _record(request, bearer, named, found, now)
    if found.is_signed:
        seeking.remember(path, found)
    return responses.redirect(found.location)


def _signature(request: HttpRequest) -> str:
    """Return the parameter ``s``; "" if there is none."""
    alone = links.signature_alone(request.META.get("QUERY_STRING", ""))
    return request.GET.get("s", "") if alone is None else alone


def _record(
    request: HttpRequest, bearer: Bearer, named: Named, found: PlayableEpisode, now: datetime
) -> None:
    """Record a play if this request begins one."""
    kind, unsure = window.kind_of(request.method, request.META), False
    if kind is Kind.GOES_ON:
        sessions.extend((bearer.user_id, found.episode_id))
    if kind is not Kind.BEGINS:
        return
    try:
        is_new = window.is_new(bearer, found.episode_id)
    except window.Unknown:
        is_new = unsure = True
    if is_new:
        promptly.record(recording.new_play(bearer, named.feed, named.item, now, unsure=unsure))


def _is_page_wanted(request: HttpRequest) -> bool:
    """Whether a person opened the address in a browser, as opposed to a player in an app or a page."""
    accepted = request.META.get("HTTP_ACCEPT", "").partition(",")[0].partition(";")[0]
    return request.method == "GET" and accepted.strip().lower() == "text/html"


def _page(request: HttpRequest, found: PlayableEpisode) -> HttpResponse:
    """Return a page that says where the address leads, and leaves it to the reader to follow the link."""
    language = translation.get_language_from_request(request)
    context = {"language": language, "host": found.location.split("/")[2], "location": found.location}
    with translation.override(language):
        content = render_to_string("playgateway/leaving.html", context)
    policy = {"Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'"}
    return HttpResponse(content, headers={**responses.headers(), **policy})
