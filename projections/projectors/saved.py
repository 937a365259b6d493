"""Which episodes a listener has saved: the later time of each kind."""

from eventstore.domain.saved import TOPIC
from projections.projectors.registers import project_register

projector = project_register(TOPIC, "users.saved_episodes")
