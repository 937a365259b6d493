"""The page on which a user grants or denies an app what it asks for.

Nothing is stored before the user's own POST. It sends the token again, which is verified again; nothing else
in the form counts except the decision.
"""

from urllib.parse import urlencode, urlsplit

from django.conf import settings
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone

from accounts import grants, tokens
from accounts.models import User
from accounts.pages import private, read_or_post, spaced
from accounts.scopes import WORDS
from accounts.tokens import Authorization

DECISIONS = ("approve", "deny")


@private
@read_or_post
def authorize(request: HttpRequest) -> HttpResponse:
    """Show what the app behind ``token`` asks for; on POST carry out ``decision``."""
    token = (request.POST if request.method == "POST" else request.GET).get("token", "")
    try:
        authorization = tokens.read_authorization(token, timezone.now(), settings.PUBLIC_URL)
    except tokens.TokenError as error:
        refused = {"error": error, "nothing_sent": not token}
        return render(request, "accounts/authorize_refused.html", refused, status=400)
    user = request.user
    if not isinstance(user, User):
        return _log_in_first(token)
    if authorization.subject not in (None, str(user.pk)):
        refused = {"error": grants.WrongUser(), "nothing_sent": False}
        return render(request, "accounts/authorize_refused.html", refused, status=403)
    if request.method != "POST":
        return _ask(request, user, authorization, token)
    decision = request.POST.get("decision")
    if decision not in DECISIONS:
        return _ask(request, user, authorization, token, status=400)
    if decision == "deny":
        return _deny(request, authorization)
    return _approve(request, user, authorization, token)


def _ask(
    request: HttpRequest, user: User, authorization: Authorization, token: str, *, status: int = 200
) -> HttpResponse:
    preview = grants.preview_authorization(user, authorization)
    context = {
        "app": authorization,
        "preview": preview,
        "token": token,
        "host": urlsplit(authorization.url).netloc,
        "image": authorization.image if preview.shows_image else "",
        "goes_to": _shown_target(authorization.redirect_uri or ""),
        "fingerprint": spaced(authorization.fingerprint),
        "scopes": [
            {"name": scope, "words": WORDS[scope], "added": scope in preview.added}
            for scope in authorization.scopes
        ],
        "lost": [WORDS[scope] for scope in preview.lost],
        "asks_to_replace": status == 409,
    }
    page = render(request, "accounts/authorize.html", context, status=status)
    if authorization.redirect_uri is not None:
        # browsers apply form-action to the redirect after the form, too
        page._csp_update = {"form-action": [form_target(authorization.redirect_uri)]}  # type: ignore[attr-defined]
    return page


def _approve(request: HttpRequest, user: User, authorization: Authorization, token: str) -> HttpResponse:
    replace_key = request.POST.get("replace") == "yes"
    try:
        grant = grants.authorize(user, authorization, replace_key=replace_key)
    except grants.DifferentKey:
        return _ask(request, user, authorization, token, status=409)
    except User.DoesNotExist:
        # the account was switched off after the session was read
        return _log_in_first(token)
    if authorization.redirect_uri is None:
        return render(request, "accounts/authorized.html", {"grant": grant})
    answer = {"user_id": str(user.pk), "app_id": grant.app_id, "scopes": " ".join(grant.scopes)}
    return _to_app(authorization.redirect_uri, answer, authorization.state)


def _log_in_first(token: str) -> HttpResponse:
    return redirect_to_login(f"{reverse('authorize')}?{urlencode({'token': token})}")


def _deny(request: HttpRequest, authorization: Authorization) -> HttpResponse:
    if authorization.redirect_uri is None:
        return render(request, "accounts/denied.html", {"app": authorization})
    return _to_app(authorization.redirect_uri, {"error": "access_denied"}, authorization.state)


def _to_app(redirect_uri: str, answer: dict[str, str], state: str | None) -> HttpResponse:
    """Redirect the browser to the app, with the answer added to the query of its address."""
    parameters = answer if state is None else {**answer, "state": state}
    # append text instead of rebuilding the address: urllib would change com.example.app:///done
    separator = "&" if "?" in redirect_uri else "?"
    # Django's redirect refuses apps' own schemes; links.redirect_uri has checked this one
    return HttpResponse(status=302, headers={"Location": f"{redirect_uri}{separator}{urlencode(parameters)}"})


def form_target(redirect_uri: str) -> str:
    """Return the source that Content-Security-Policy's form-action needs for a redirect to
    ``redirect_uri``."""
    parts = urlsplit(redirect_uri)
    # CSP has no way to write an IPv6 address
    if parts.scheme not in ("http", "https") or ":" in (parts.hostname or ""):
        return f"{parts.scheme}:"
    return f"{parts.scheme}://{parts.netloc.lower()}"


def _shown_target(redirect_uri: str) -> str:
    """Return where the browser goes afterwards: the host, or the app's own scheme; "" if it goes nowhere."""
    parts = urlsplit(redirect_uri)
    return parts.netloc if parts.scheme in ("", "http", "https") else f"{parts.scheme}:"
