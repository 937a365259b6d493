"""Every projector by its name. A new topic is one module here and one line."""

from projections.projectors import play_statuses, subscriptions
from projections.projectors.shape import Projector

PROJECTORS: dict[str, Projector] = {
    projector.name: projector for projector in (subscriptions.projector, play_statuses.projector)
}
