"""What the administration shows on each of its pages."""

from django import template

from operations import maintenance

register = template.Library()


@register.simple_tag
def closed_stores() -> list[str]:
    """A sentence for each store that takes no writes now."""
    return [
        maintenance.MESSAGES[state].format(alias=alias, other="another database")
        for alias, state in maintenance.states().items()
        if state != "open"
    ]


@register.filter
def thousands(number: float) -> str:
    """A whole number with its thousands apart."""
    return f"{number:,.0f}"
