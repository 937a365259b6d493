"""The page that the feed client's User-Agent links to, for operators who find this server in
the logs of their feed server."""

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

TEXT = """\
Balados at {public_url}

This server keeps the podcasts of its listeners in step across their devices. It fetches the feeds that they
follow, to know the episodes, and the covers that feeds name. Audio is fetched by the listeners' own players.

How it behaves
- A feed is asked for every half hour to every 24 hours, by how often it has published, and with
  If-None-Match and If-Modified-Since where an earlier answer allows that.
- One server bears two connections at a time, or six where it has more than a thousand of our feeds.
- Retry-After, Cache-Control: max-age and Expires are obeyed between 5 minutes and 24 hours.
- "n followers" in the User-Agent is how many listeners follow the feed here, rounded. It is left out below
  three, and for feeds whose address is known to their subscribers alone.
- No cookies are kept, and no address of a listener is passed on.

What you can do
- Answer 429 or 503 with Retry-After: the whole host is left alone for that long.
- Answer 410 when a feed has ended, or 301 when it has moved for good.
- Put <itunes:block>yes</itunes:block> into a feed that is not to be shown in public lists.

It is free software; who runs it here is who answers at {public_url}
"""


@require_safe
def fetcher(request: HttpRequest) -> HttpResponse:
    """Explain who fetches, how often, and how to reduce it; in English, as User-Agents are."""
    text = TEXT.format(public_url=settings.PUBLIC_URL)
    return HttpResponse(text, content_type="text/plain; charset=utf-8")
