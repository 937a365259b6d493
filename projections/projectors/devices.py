"""The names of a listener's devices, and when they were last seen."""

from eventstore.domain.devices import TOPIC
from projections.projectors.registers import project_register

projector = project_register(TOPIC, "users.devices")
