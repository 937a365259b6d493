"""Which feeds a listener follows: the later time of each kind."""

from eventstore.domain.subscriptions import TOPIC
from projections.projectors.registers import project_register

projector = project_register(TOPIC, "users.subscriptions")
