"""Every projector by its name: one for each topic, in the module of its name, and those of what is public."""

from importlib import import_module

from eventstore.domain.topics import TOPICS
from projections.projectors import popularity, public_events
from projections.projectors.shape import Projector

_of_topics = (import_module(f"projections.projectors.{topic.name}").projector for topic in TOPICS)
PROJECTORS: dict[str, Projector] = {
    projector.name: projector for projector in (*_of_topics, public_events.projector, popularity.projector)
}
