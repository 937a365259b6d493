"""Every projector by its name: one per topic, in the module of that name, and those of public rows,
popularity and listening."""

from importlib import import_module

from eventstore.domain.topics import TOPICS
from projections.projectors import listening, popularity, public_events
from projections.projectors.shape import Projector

_of_topics = (import_module(f"projections.projectors.{topic.name}").projector for topic in TOPICS)
_others = (public_events.projector, popularity.projector, listening.projector)
PROJECTORS: dict[str, Projector] = {projector.name: projector for projector in (*_of_topics, *_others)}
