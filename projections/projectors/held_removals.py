"""The podcasts that a device wanted its listener to unfollow, all at once."""

from eventstore.domain.held_removals import TOPIC
from projections.projectors.registers import project_register

projector = project_register(TOPIC, "users.held_removals")
