"""What the administration shows on each of its pages."""

from django import template

from operations import maintenance

register = template.Library()


@register.simple_tag
def closed_stores() -> list[str]:
    """Return a sentence for each store that takes no writes now."""
    return [
        maintenance.MESSAGES[state].format(alias=alias, other="another database")
        for alias, state in maintenance.states().items()
        if state != "open"
    ]


@register.filter
def thousands(number: float) -> str:
    """Format a number as a whole one with thousands separators."""
    return f"{number:,.0f}"
