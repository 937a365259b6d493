"""Every projector by its name. A new topic is one module here and one line."""

from projections.projectors import (
    episodes,
    play_statuses,
    popularity,
    public_events,
    subscriptions,
    user_privacy,
)
from projections.projectors.shape import Projector

PROJECTORS: dict[str, Projector] = {
    projector.name: projector
    for projector in (
        subscriptions.projector,
        play_statuses.projector,
        episodes.projector,
        user_privacy.projector,
        public_events.projector,
        popularity.projector,
    )
}
