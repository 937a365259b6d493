"""Identifiers, figures and times in the form in which people read them, in the language of the page."""

import re
from datetime import datetime, timedelta
from urllib.parse import unquote, urlsplit

from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext, ngettext

from accounts.browsers import BROWSERS
from eventstore.domain.identifiers import parts_of_item, url_of_feed

LONGEST = 120
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
_WORD = re.compile(r"\w+")


def host_of(feed: str) -> str:
    """The title of a feed until its own is known: its host, without a port, which would break it in two."""
    return shortened(urlsplit(url_of_feed(feed)).hostname or "")


def address_of(feed: str) -> str:
    """Where a feed is, without the scheme."""
    parts = urlsplit(url_of_feed(feed))
    query = f"?{parts.query}" if parts.query else ""
    return shortened(parts.netloc) + shortened(f"{parts.path}{query}")


def episode_name(item: str) -> str:
    """An episode by the file name of its enclosure, or by its GUID where that says more."""
    guid, enclosure = parts_of_item(item)
    return shortened(_file_name(enclosure) or guid or enclosure)


def initials(title: str) -> str:
    """At most two letters that stand for a title where it has no cover: "Slow Radio" is SR."""
    found = _WORD.findall(title)
    return "".join(word[0] for word in found[:2]).upper()


def clock(seconds: int) -> str:
    """``12:07`` or ``1:02:03``."""
    minutes, second = divmod(seconds, 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"


def duration(seconds: int) -> str:
    """``3 h 12 min``, ``54 min`` or ``40 s``, in the language of the page."""
    if seconds < 60:
        return gettext("%(seconds)d s") % {"seconds": seconds}
    hours, minutes = divmod((seconds + 30) // 60, 60)
    if not hours:
        return gettext("%(minutes)d min") % {"minutes": minutes}
    return gettext("%(hours)d h %(minutes)02d min") % {"hours": hours, "minutes": minutes}


def device(name: str) -> str:
    """What a browser is called (``accounts.browsers.device_name``), or a device by the name that it has."""
    browser, on, system = name.partition(" on ")
    if name and browser not in {"Browser", *BROWSERS.values()}:
        return name
    if browser == "Browser" or not name:
        browser = gettext("Browser")
    return gettext("%(browser)s on %(system)s") % {"browser": browser, "system": system} if on else browser


def local(moment: datetime) -> datetime:
    """In the time zone of the page; as it is where that leads out of the years 1 to 9999: apps send any."""
    try:
        return timezone.localtime(moment)
    except OverflowError:
        return moment


def ago(moment: datetime, now: datetime) -> str:
    """``2 h ago``, ``3 days ago``; past a week the date."""
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


def shortened(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def _file_name(url: str) -> str:
    try:
        return unquote(urlsplit(url).path.rpartition("/")[2])
    except ValueError:  # an enclosure is whatever the app sent: http://[ is one
        return ""
