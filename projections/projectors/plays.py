"""How far each episode was heard: the newest status from any device."""

from eventstore.domain.plays import TOPIC
from projections.projectors.registers import project_register

projector = project_register(TOPIC, "users.play_statuses")
