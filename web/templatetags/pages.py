"""Tags and filters of the pages: icons, and figures and times in the reader's language."""

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
    """An icon of lucide, in the colour and size of the text. It says nothing to a screen reader: what it
    stands for is written beside it, or is the name of its button."""
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
    """How long ago something was, as a ``time`` with the exact moment; static/modules/times.js puts that into
    the browser's own time zone."""
    if moment is None:
        return ""
    return _time(moment, words.ago(moment, timezone.now()), "title")


@register.filter
def day(moment: datetime | None) -> SafeString | str:
    """A date, as a ``time``."""
    return "" if moment is None else _time(moment, date_format(words.local(moment), "DATE_FORMAT"), "day")


@register.filter
def exact(moment: datetime | None) -> SafeString | str:
    """A date with hour and minute and the name of their time zone, as a ``time``."""
    return "" if moment is None else _time(moment, None, "moment")


@register.filter
def sized(cover: str, size: int) -> str:
    """The path of a cover in another size than 300 pixels."""
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


# a list has dozens, at a tenth of a millisecond each, and the next page has many of them again
@lru_cache(maxsize=4_096)
def _whole(moment: datetime, zone: str, language: str | None) -> str:
    """A date with hour and minute in the time zone and the language of the page."""
    return date_format(words.local(moment), "DATETIME_FORMAT")
