"""The names of listeners' devices that podcast apps have registered."""

from uuid import UUID

from projections.connect import run

CAPTIONS = """
SELECT device, caption FROM users.devices
 WHERE user_id = %s AND caption IS NOT NULL AND (forgotten_at IS NULL OR registered_at >= forgotten_at)
"""


def captions(user_id: UUID) -> dict[str, str]:
    """Return the captions of a listener's devices, by device id; devices without one are left out."""
    return dict(run(CAPTIONS, [user_id]).fetchall())
