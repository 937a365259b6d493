"""The newest thing that an app did with each episode other than playing it."""

from eventstore.domain.episode_actions import TOPIC
from projections.projectors.registers import project_register

projector = project_register(TOPIC, "users.episode_actions")
