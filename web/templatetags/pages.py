"""Tags and filters for pages: icons, and figures and times in the reader's language."""

from datetime import datetime
from functools import lru_cache

from django import template
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import get_language
from lucide.templatetags.lucide import lucide

from web import words

register = template.Library()


@register.simple_tag
def icon(name: str) -> str:
    """Return a Lucide icon in the colour and size of the text. Screen readers ignore it: its meaning is
    written beside it, or is the name of its button."""
    return _icon(str(name))


@lru_cache(maxsize=256)
def _icon(name: str) -> str:
    attributes = {"class": "icon", "aria_hidden": "true", "focusable": "false", "stroke_width": "1.9"}
    return lucide(name, size=24, **attributes)


register.filter("clock", words.clock)
register.filter("device", words.device)
register.filter("duration", words.duration)


@register.filter
def ago(moment: datetime | None) -> SafeString | str:
    """Return how long ago something was, as a ``time`` element with the exact moment, which
    static/modules/times.js shows in the time zone that the listener has set, else in that of the browser."""
    if moment is None:
        return ""
    return _time(moment, words.ago(moment, timezone.now()), "title")


@register.filter
def day(moment: datetime | None) -> SafeString | str:
    """Return a date, as a ``time`` element."""
    return "" if moment is None else _time(moment, date_format(words.local(moment), "DATE_FORMAT"), "day")


@register.filter
def exact(moment: datetime | None) -> SafeString | str:
    """Return a date with hour, minute and time zone, as a ``time`` element."""
    return "" if moment is None else _time(moment, None, "moment")


@register.filter
def sized(cover: str, size: int) -> str:
    """Return the path of a cover in another size than 300 pixels."""
    return cover.replace("/300.webp", f"/{size}.webp")


def _time(moment: datetime, text: str | None, shows: str) -> SafeString:
    whole = _whole(moment, timezone.get_current_timezone_name(), get_language())
    return format_html(
        '<time datetime="{}" data-shows="{}" title="{}">{}</time>',
        moment.isoformat(timespec="seconds"),
        shows,
        whole,
        whole if text is None else text,
    )


# cached: a list has dozens of them, each takes a tenth of a millisecond, and the
# next page repeats many of them
@lru_cache(maxsize=4_096)
def _whole(moment: datetime, zone: str, language: str | None) -> str:
    """Return a date with hour and minute in the time zone and the language of the page."""
    return date_format(words.local(moment), "DATETIME_FORMAT")
