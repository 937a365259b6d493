"""Every projector by its name. A new topic is one module here and one line."""

from projections.projectors import (
    collections,
    episodes,
    play_statuses,
    playlists,
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
        playlists.projector,
        collections.projector,
        user_privacy.projector,
        public_events.projector,
        popularity.projector,
    )
}
