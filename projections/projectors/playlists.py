"""Playlists, and the episodes that are or were in them."""

from eventstore.domain.playlists import TOPIC
from projections.projectors.registers import project_ordered_set

projector = project_ordered_set(
    TOPIC, lists="users.playlists", order="item_order", members="users.playlist_items"
)
