"""What requests ask of all that this server knows of podcasts."""

from api.errors import FieldError, Invalid
from feeds.search import Among, category_names


def among(category: str | None, language: str | None) -> Among:
    """Which feeds are asked for. Raises ``Invalid`` for a category that there is not."""
    if category is None:
        return Among(None, language)
    names = category_names(category)
    if not names:
        raise Invalid(FieldError("invalid", "There is no such category.", "category"))
    return Among(names, language)
