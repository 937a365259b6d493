"""QR codes, for what is awkward to type on a phone."""

import segno
from django.utils.safestring import SafeString, mark_safe


def drawn(text: str) -> SafeString:
    """A QR code: dark on the light ground that the page gives it, in both schemes."""
    code = segno.make(text, error="m", micro=False).svg_inline(border=2, omitsize=True, svgclass=None)
    return mark_safe(code)  # noqa: S308  squares, made here
