"""What takes the password of whoever is logged in: who sits at an open page is not yet its owner."""

from datetime import timedelta

from django.http import HttpRequest, HttpResponse

from accounts import attempts
from accounts.guessing import too_many
from accounts.models import User

# enough for a forgotten password, too few to guess one; all pages that ask for it count together
TRIES = 10
TRIES_WITHIN = timedelta(hours=1)


def too_many_tries(request: HttpRequest, user: User) -> HttpResponse | None:
    """Count one try at the listener's password; the answer where there were too many."""
    wait = attempts.count("password", str(user.pk), TRIES, TRIES_WITHIN)
    return too_many(request, wait) if wait else None
