"""Filters for requests about all podcasts that this server knows."""

from api.errors import FieldError, Invalid
from feeds.search import Among, category_names


def among(category: str | None, language: str | None) -> Among:
    """Return the filter for category and language. Raises ``Invalid`` for an unknown category."""
    if category is None:
        return Among(None, language)
    names = category_names(category)
    if not names:
        raise Invalid(FieldError("invalid", "There is no such category.", "category"))
    return Among(names, language)
