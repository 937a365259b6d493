"""Identifiers, figures and times in human-readable form, in the language of the page."""

import re
from datetime import datetime, timedelta
from urllib.parse import unquote, urlsplit

from django.utils import timezone
from django.utils.formats import date_format, number_format
from django.utils.translation import gettext, ngettext

from accounts.browsers import BROWSERS
from eventstore.domain.identifiers import parts_of_item, url_of_feed

LONGEST = 120
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
_WORD = re.compile(r"\w+")


def host_of(feed: str) -> str:
    """Return the title of a feed until its own is known: its host, without the port, which would make the
    title wrap onto a second line."""
    return shortened(urlsplit(url_of_feed(feed)).hostname or "")


def address_of(feed: str) -> str:
    """Return the address of a feed, without the scheme."""
    parts = urlsplit(url_of_feed(feed))
    query = f"?{parts.query}" if parts.query else ""
    return shortened(parts.netloc) + shortened(f"{parts.path}{query}")


def episode_name(item: str) -> str:
    """Return an episode's name: the file name of its enclosure, or its GUID if
    the enclosure has no file name."""
    guid, enclosure = parts_of_item(item)
    return shortened(_file_name(enclosure) or guid or enclosure)


def initials(title: str) -> str:
    """Return at most two letters that represent a title without a cover: "Slow Radio" is SR."""
    found = _WORD.findall(title)
    return "".join(word[0] for word in found[:2]).upper()


def clock(seconds: int) -> str:
    """Return a duration as ``12:07`` or ``1:02:03``."""
    minutes, second = divmod(seconds, 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"


def duration(seconds: int) -> str:
    """Return a duration as ``3 h 12 min``, ``54 min`` or ``40 s``, in the language of the page."""
    if seconds < 60:
        return gettext("%(seconds)d s") % {"seconds": seconds}
    hours, minutes = divmod((seconds + 30) // 60, 60)
    if not hours:
        return gettext("%(minutes)d min") % {"minutes": minutes}
    return gettext("%(hours)s h %(minutes)02d min") % {"hours": number_format(hours), "minutes": minutes}


def device(name: str) -> str:
    """Return the translated name of a browser (``accounts.browsers.device_name``), or
    the name of a device as it is."""
    browser, on, system = name.partition(" on ")
    if name and browser not in {"Browser", *BROWSERS.values()}:
        return name
    if browser == "Browser" or not name:
        browser = gettext("Browser")
    return gettext("%(browser)s on %(system)s") % {"browser": browser, "system": system} if on else browser


def local(moment: datetime) -> datetime:
    """Convert to the time zone of the page; a moment that would leave the years 1 to 9999 stays as it
    is, since apps send any value."""
    try:
        return timezone.localtime(moment)
    except OverflowError:
        return moment


def ago(moment: datetime, now: datetime) -> str:
    """Return ``2 h ago``, ``3 days ago``; after a week the date."""
    passed = now - moment
    if passed < MINUTE:
        return gettext("just now") if passed > -MINUTE else date_format(local(moment), "SHORT_DATE_FORMAT")
    if passed < HOUR:
        return gettext("%(minutes)d min ago") % {"minutes": passed // MINUTE}
    if passed < DAY:
        return gettext("%(hours)d h ago") % {"hours": passed // HOUR}
    days = passed // DAY
    if days > 7:
        return date_format(local(moment), "SHORT_DATE_FORMAT")
    return ngettext("%(days)d day ago", "%(days)d days ago", days) % {"days": days}


def hours_ago(moment: datetime, now: datetime) -> str:
    """Return the same of a moment that is kept to the hour, rounded down: no minutes, which are unknown."""
    return gettext("in the last hour") if timedelta() <= now - moment < HOUR else ago(moment, now)


def shortened(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def _file_name(url: str) -> str:
    try:
        return unquote(urlsplit(url).path.rpartition("/")[2])
    except ValueError:  # the enclosure is whatever the app sent, for example http://[
        return ""
