"""Every projector by its name: one per topic, and those of public rows, popularity and listening."""

from eventstore.domain.topics import TOPICS
from projections.projectors import listening, popularity, public_events
from projections.projectors.shape import Projector
from projections.projectors.topics import project_topic

_others = (public_events.projector, popularity.projector, listening.projector)
PROJECTORS: dict[str, Projector] = {one.name: one for one in (*map(project_topic, TOPICS), *_others)}
