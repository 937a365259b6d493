"""What listeners' devices are called, that podcast apps have registered."""

from uuid import UUID

from projections.connect import run

CAPTIONS = """
SELECT device, caption FROM users.devices
 WHERE user_id = %s AND caption IS NOT NULL AND (forgotten_at IS NULL OR registered_at >= forgotten_at)
"""


def captions(user_id: UUID) -> dict[str, str]:
    """What devices are called, by their ids; those alone that are called something."""
    return dict(run(CAPTIONS, [user_id]).fetchall())
