"""Tasks that fetch what somebody waits for besides feeds: chapters, transcripts, and the websites of
podcasts."""

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

# what other software logs of a message must not contain the address, which may be a key
UNNAMED: Final[dict[str, Any]] = {"argsrepr": "(an address)", "retry": False}


@shared_task
@stepping_aside
def fetch(kind: Kind, episode_id: int) -> bool:
    """Fetch the chapters or transcript that the episode's feed names, unless they are stored already. Returns
    whether they were fetched.

    The message contains no address, because the addresses in members' feeds are keys.
    """
    episode, now = Episode.objects.filter(pk=episode_id).first(), timezone.now()
    source = None if episode is None else supplements.source_of(kind, episode.extra)
    if source is None or supplements.find(kind, source.url, now) is not None:
        return False
    supplements.fetch(kind, source.url, now)
    return True


@shared_task
@stepping_aside
def look(url: str) -> bool:
    """Look up what is at an address. If it leads to exactly one feed, which is not secret, register that feed
    and fetch it. Returns whether it does."""
    now = timezone.now()
    links = sites.look_up(url, now).links
    feed = feed_of_url(links[0].url) if len(links) == 1 else ""
    if not feed or is_secret_feed(feed):
        return False
    for feed_id in store.ensure([feed], now, asked=True).ids.values():
        fetch_now.delay(feed_id)
    return True
