"""QR codes for values that are awkward to type on a phone."""

import segno
from django.utils.safestring import SafeString, mark_safe


def drawn(text: str) -> SafeString:
    """Return a QR code as SVG: dark, on the light background that the page
    gives it in both colour schemes."""
    code = segno.make(text, error="m", micro=False).svg_inline(border=2, omitsize=True, svgclass=None)
    return mark_safe(code)  # noqa: S308  squares, made here
