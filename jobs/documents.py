"""The tasks that fetch what somebody waits for beside feeds: chapters, transcripts, podcasts' sites."""

from typing import Any, Final

from celery import shared_task
from django.utils import timezone

from eventstore.domain.identifiers import feed_of_url
from eventstore.domain.secrets import is_secret_feed
from feeds import sites, store, supplements
from feeds.models import Episode
from feeds.supplements import Kind
from jobs.feeds import fetch_now
from jobs.tasks import stepping_aside

FETCH: Final = "jobs.documents.fetch"
# what others log of a message must not name the address, which may be a key
UNNAMED: Final[dict[str, Any]] = {"argsrepr": "(an address)", "retry": False}


@shared_task
@stepping_aside
def fetch(kind: Kind, episode_id: int) -> bool:
    """Fetch what the episode's feed names, unless it is there. Returns whether it was fetched. The message
    names no address: those of members' feeds are keys."""
    episode, now = Episode.objects.filter(pk=episode_id).first(), timezone.now()
    source = None if episode is None else supplements.source_of(kind, episode.extra)
    if source is None or supplements.find(kind, source.url, now) is not None:
        return False
    supplements.fetch(kind, source.url, now)
    return True


@shared_task
@stepping_aside
def look(url: str) -> bool:
    """Look what is at an address. Where it leads to one feed that is no secret, that is known from then on,
    and fetched. Returns whether it does."""
    now = timezone.now()
    links = sites.look_up(url, now).links
    feed = feed_of_url(links[0].url) if len(links) == 1 else ""
    if not feed or is_secret_feed(feed):
        return False
    for feed_id in store.ensure([feed], now, asked=True).ids.values():
        fetch_now.delay(feed_id)
    return True
