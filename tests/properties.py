"""How much is drawn for a property that needs the stores: little in an ordinary run, more where asked for."""

from hypothesis import HealthCheck, Phase, settings


def examples(ordinary: int, *, shrink: bool = False) -> settings:
    """Settings for so many examples, and ten times as many with ``--hypothesis-profile=thorough``.

    ``shrink``: look for the smallest example that fails. Where one takes a second, that takes many minutes.
    """
    phases = [Phase.explicit, Phase.reuse, Phase.generate, *([Phase.shrink] if shrink else [])]
    return settings(
        suppress_health_check=[HealthCheck.function_scoped_fixture],
        max_examples=ordinary * settings().max_examples // 100,
        phases=phases,
    )
