"""Limits attempts on pages that ask for the password of the logged-in listener, since whoever sits at an open
browser need not be the owner of the account."""

from datetime import timedelta

from django.http import HttpRequest, HttpResponse

from accounts import attempts
from accounts.login_limits import too_many
from accounts.models import User

# enough for a forgotten password, too few to guess one; the attempts on all pages
# that ask for it are added up
TRIES = 10
TRIES_WITHIN = timedelta(hours=1)


def too_many_tries(request: HttpRequest, user: User) -> HttpResponse | None:
    """Count an attempt at the listener's password; return the response to send if
    there were too many, else None."""
    wait = attempts.count("password", str(user.pk), TRIES, TRIES_WITHIN)
    return too_many(request, wait) if wait else None
