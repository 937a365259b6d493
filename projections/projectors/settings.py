"""The settings that apps keep, scope by scope."""

from eventstore.domain.settings import TOPIC
from projections.projectors.registers import project_register

projector = project_register(TOPIC, "users.settings")
