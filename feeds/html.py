"""Sanitise descriptions for output: a few HTML elements; no scripts, loaded resources or styles. Pure."""

from functools import partial

import nh3

# no images: each would tell the publisher who reads the page, and when
_NAMES = """
    a abbr b blockquote br cite code dd del dl dt em h1 h2 h3 h4 h5 h6 hr i ins li ol p pre q s small strong
    sub sup u ul
"""
ELEMENTS = set(_NAMES.split())
ATTRIBUTES = {"a": {"href", "title"}, "abbr": {"title"}}
SCHEMES = {"http", "https", "mailto"}

_clean = partial(
    nh3.clean,
    tags=ELEMENTS,
    attributes=ATTRIBUTES,
    url_schemes=SCHEMES,
    link_rel="noopener noreferrer nofollow",
)


def safe_html(text: str) -> str:
    """Turn untrusted HTML or plain text into HTML that is safe in any page."""
    return _clean(text) if text else ""
