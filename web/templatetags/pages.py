"""Tags and filters for pages: icons, and figures and times in the reader's language."""

from datetime import datetime
from functools import lru_cache
from typing import Protocol
from urllib.parse import urlencode

from django import template
from django.template import Context
from django.template.loader import render_to_string
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import get_language
from lucide.templatetags.lucide import lucide

from web import humanize
from web.privacy_levels import EffectiveLevel

register = template.Library()


class HasCover(Protocol):
    """A podcast, an episode or a person. ``cover``: the path of a picture, or ""."""

    @property
    def hue(self) -> int: ...
    @property
    def initials(self) -> str: ...
    @property
    def cover(self) -> str: ...


@register.simple_tag
def icon(name: str) -> str:
    """Return a Lucide icon in the colour and size of the text. Screen readers ignore it: its meaning is
    written beside it, or is the name of its button."""
    return _icon(str(name))


@lru_cache(maxsize=256)
def _icon(name: str) -> str:
    attributes = {"class": "icon", "aria_hidden": "true", "focusable": "false", "stroke_width": "1.9"}
    return lucide(name, size=24, **attributes)


@register.simple_tag
def cover(of: HasCover, size: str = "") -> SafeString:
    """Return the cover of a podcast, an episode or a person (components/_cover.html). ``size`` is tiny, small
    or large, or "" to fill its container."""
    return _cover(of.hue, of.initials, of.cover, size)


# cached: a page has dozens of them, and the next page repeats most; a change of the template needs a restart
@lru_cache(maxsize=4_096)
def _cover(hue: int, initials: str, picture: str, size: str) -> SafeString:
    values = {"hue": hue, "initials": initials, "picture": picture, "size": size}
    return render_to_string("components/_cover.html", values)


@register.simple_tag(takes_context=True)
def address_of_level(context: Context, privacy: EffectiveLevel) -> str:
    """Return the address at which a level is changed. It names the page to return to, ``back`` or the
    requested one, and whether the level is shown ``compact``."""
    query = {"back": context.get("back") or context["request"].get_full_path()}
    if context.get("compact"):
        query["compact"] = ""
    return f"{privacy.path}{'&' if privacy.item else '?'}{urlencode(query)}"


register.filter("clock", humanize.clock)
register.filter("device", humanize.device)
register.filter("duration", humanize.duration)


@register.filter
def ago(moment: datetime | None) -> SafeString | str:
    """Return how long ago something was, as a ``time`` element with the exact moment, which
    static/modules/times.js shows in the time zone that the listener has set, else in that of the browser."""
    if moment is None:
        return ""
    return _time(moment, humanize.ago(moment, timezone.now()), "title")


@register.filter
def hours_ago(moment: datetime | None) -> SafeString | str:
    """Return the same of a moment that is kept to the hour, rounded down."""
    if moment is None:
        return ""
    return _time(moment, humanize.hours_ago(moment, timezone.now()), "title")


@register.filter
def day(moment: datetime | None) -> SafeString | str:
    """Return a date, as a ``time`` element."""
    return "" if moment is None else _time(moment, date_format(humanize.local(moment), "DATE_FORMAT"), "day")


@register.filter
def exact(moment: datetime | None) -> SafeString | str:
    """Return a date with hour, minute and time zone, as a ``time`` element."""
    return "" if moment is None else _time(moment, None, "moment")


@register.filter
def sized(cover: str, size: int) -> str:
    """Return the path of a cover in another size than 300 pixels."""
    return cover.replace("/300.webp", f"/{size}.webp")


def _time(moment: datetime, text: str | None, shows: str) -> SafeString:
    return _element(moment, text, shows, timezone.get_current_timezone_name(), get_language())


# cached: a list has dozens of them, each takes a tenth of a millisecond, and the
# next page repeats many of them
@lru_cache(maxsize=4_096)
def _element(moment: datetime, text: str | None, shows: str, zone: str, language: str | None) -> SafeString:
    """Return a ``time`` element. ``text`` is in the language of the page; None shows the date with hour and
    minute, in the time zone and the language of the page."""
    whole = date_format(humanize.local(moment), "DATETIME_FORMAT")
    return format_html(
        '<time datetime="{}" data-shows="{}" title="{}">{}</time>',
        moment.isoformat(timespec="seconds"),
        shows,
        whole,
        whole if text is None else text,
    )
