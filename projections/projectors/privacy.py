"""What a listener hides from others: the newest setting of each scope."""

from eventstore.domain.privacy import TOPIC
from projections.projectors.registers import project_register

projector = project_register(TOPIC, "users.user_privacy")
