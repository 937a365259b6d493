"""What a listener's history is restricted to, and where its events came from (``log.read_history``)."""

from typing import NamedTuple


class HistoryFilter(NamedTuple):
    """Restricts a history to stored event names, the id and name of a device, an app id, a normalised feed,
    the items of episodes, and a first version. A field that is None restricts nothing."""

    types: list[str] | None = None
    device_id: str | None = None
    device_name: str | None = None
    app_id: str | None = None
    feed: str | None = None
    items: list[str] | None = None
    since: int | None = None


EVERYTHING = HistoryFilter()
FILTERS = (
    "type = ANY(%s)",
    "metadata ->> 'device_id' = %s",
    "metadata ->> 'device_name' = %s",
    "metadata ->> 'app_id' = %s",
    "data ->> 'rss_source_feed' = %s",
    "data ->> 'rss_source_item' = ANY(%s)",
    "version >= %s",
)


class HistorySource(NamedTuple):
    app_id: str | None
    device_id: str | None
    device_name: str | None
    feed: str | None
    newest: int
