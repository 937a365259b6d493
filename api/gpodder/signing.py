"""`/api/2/auth`: signing in, which any route does as well, and signing out."""

from django.http import HttpResponse
from django.urls import get_script_prefix

from accounts import app_login
from accounts.usernames import username_key
from api.gpodder.access import COOKIE, Call, bad, encoded, route


def log_in(call: Call) -> dict[str, str]:
    call.tell("signed_in")
    return {}


def log_out(call: Call, name: str) -> HttpResponse:
    """End the session whose cookie was sent; succeeds also if there is none."""
    if call.who is not None:
        if username_key(name) != call.who.username_key:
            raise bad("This address is of another account.")
        call.tell("signed_out")
        app_login.close_session(call.who)
    answer = encoded({})
    call.cookie = None
    answer.delete_cookie(COOKIE, path=get_script_prefix(), samesite="Lax")
    return answer


paths = {
    r"auth/{user}/login\.json": route(post=log_in),
    r"auth/{name}/logout\.json": route(post=log_out, is_open=True),
}
