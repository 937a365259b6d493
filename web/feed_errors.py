"""Explains why a feed is not up to date, in the reader's language."""

from datetime import datetime
from typing import Final

from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from feeds.states import Facts, error_of, state_of

# the same codes as in ``feeds.states.ERRORS``, whose texts are in English for apps
ERRORS: Final = {
    "unreachable": gettext_lazy("Its server cannot be reached."),
    "timeout": gettext_lazy("Its server takes too long to answer."),
    "tls": gettext_lazy("No safe connection to its server can be made; its certificate may have expired."),
    "refused": gettext_lazy("This server does not fetch from that address."),
    "too_many_redirects": gettext_lazy("Its server redirects too often, or in a circle."),
    "too_large": gettext_lazy("It is larger than a feed may be."),
    "bad_answer": gettext_lazy("Its server answered in a way that cannot be used."),
    "not_a_feed": gettext_lazy("There is no feed at this address, but something else."),
    "unsupported": gettext_lazy("It is in a format that is not supported."),
    "unreadable": gettext_lazy("It is damaged and cannot be read."),
    "needs_login": gettext_lazy("Its server asks for a user name and a password."),
    "forbidden": gettext_lazy("Its server refuses access to it."),
    "not_found": gettext_lazy("There is nothing at this address."),
    "gone": gettext_lazy("Its publisher has ended it."),
    "rate_limited": gettext_lazy("Its server asks for fewer requests."),
    "http_error": gettext_lazy("Its server answered with an error."),
}
UNKNOWN: Final = gettext_lazy("It could not be fetched.")
# states in which nothing is wrong
FINE: Final = frozenset({"ok", "new", "moved"})


def of(facts: Facts, now: datetime) -> str:
    """Return what is wrong with a feed, and when it will be tried again; "" if nothing is wrong."""
    state = state_of(facts, now).code
    if state in FINE:
        return ""
    if state == "gone":
        reason = ERRORS["gone"]
    elif error := error_of(facts):
        reason = ERRORS.get(error.code, UNKNOWN)
    else:  # another feed of its host failed
        reason = ERRORS["unreachable" if facts.host_failures else "rate_limited"]
    return " ".join(each for each in (str(reason), _again(facts, now)) if each)


def _again(facts: Facts, now: datetime) -> str:
    times = [time for time in (facts.next_at, facts.paused_until) if time is not None and time > now]
    if not times:
        return ""
    return _("It is tried again at %(time)s.") % {"time": date_format(max(times), "DATETIME_FORMAT")}
