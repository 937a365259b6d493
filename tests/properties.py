"""How much is drawn for a property that takes long: little in an ordinary run, more where asked for."""

from hypothesis import HealthCheck, Phase, settings

# fewer show nothing
LEAST = 4
# of the profile of that name
WHOLE = 100


def examples(number: int, *, whole: int | None = None, shrink: bool = False) -> settings:
    """Settings for so many examples in the profile ``whole``, for fewer in an ordinary run, and for ten times
    as many in ``thorough`` (tests/conftest.py).

    ``whole``: how many instead in these two, where an ordinary run can draw few. ``shrink``: look for the
    smallest example that fails. Where one takes a second, that takes many minutes.
    """
    asked = number if whole is None or settings().max_examples < WHOLE else whole
    phases = [Phase.explicit, Phase.reuse, Phase.generate, *([Phase.shrink] if shrink else [])]
    return settings(
        suppress_health_check=[HealthCheck.function_scoped_fixture],
        max_examples=max(LEAST, asked * settings().max_examples // WHOLE),
        phases=phases,
    )
