"""The task that fetches chapters and transcripts, for somebody who waits for them."""

from typing import Final

from celery import shared_task
from django.utils import timezone

from feeds import supplements
from feeds.models import Episode
from feeds.supplements import Kind
from jobs.tasks import stepping_aside

FETCH: Final = "jobs.documents.fetch"


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
