"""The number of examples for properties that take long: few in an ordinary run, more on request."""

from hypothesis import HealthCheck, Phase, settings

# with fewer examples a property shows nothing
LEAST = 4
# the number of examples in the profile of that name
WHOLE = 100


def examples(number: int, *, whole: int | None = None, shrink: bool = False) -> settings:
    """Return settings for ``number`` examples in the profile ``whole``, fewer in an ordinary run, and ten
    times as many in ``thorough`` (tests/conftest.py).

    ``whole`` replaces ``number`` in these two profiles, where an ordinary run can draw few. ``shrink`` looks
    for the smallest failing example, which takes many minutes if one takes a second.
    """
    asked = number if whole is None or settings().max_examples < WHOLE else whole
    phases = [Phase.explicit, Phase.reuse, Phase.generate, *([Phase.shrink] if shrink else [])]
    return settings(
        suppress_health_check=[HealthCheck.function_scoped_fixture],
        max_examples=max(LEAST, asked * settings().max_examples // WHOLE),
        phases=phases,
    )
