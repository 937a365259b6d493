"""Numbers on pages: grouped where people read them, and never where programs do."""

import re

from accounts.models import User
from eventstore.dispatcher import Origin, dispatch
from eventstore.domain.plays import RecordPlay
from tests.feeds.rows import item_name, name_of
from tests.projecting import bring_up_to_date
from tests.web.library import NOW, a_year, listen, page_of_episode, show
from tests.web.people import Visitor, text_of
from web import humanize

# an attribute with a number that is grouped, as no program can read it
GROUPED = re.compile(r'(?:href|src|value|max|action|hx-get|data-\w+)="[^"]*\d[,\u00a0\u202f]\d{3}[^"]*"')


def test_thousands_are_grouped_for_people_and_not_for_programs(alice: User) -> None:
    episode = show(1, 1).episodes.get()
    feed, item = name_of(episode.feed), item_name(episode)
    dispatch(
        RecordPlay(user_id=alice.pk, feed=feed, item=item, position=1_234, played=False, now=NOW), Origin()
    )
    listen(alice, *a_year([show(number) for number in (2, 3)]))
    bring_up_to_date()
    visitor, page = Visitor(alice, headers={"Accept-Language": "fr"}), page_of_episode(episode)
    for path in (page, f"{page}&t=2345", page.replace("/episodes/", "/player/"), "/statistics"):
        answer = visitor.get(path)
        assert answer.status_code == 200, path
        assert not GROUPED.findall(text_of(answer)), path
    assert 'data-seconds="2345"' in text_of(visitor.get(f"{page}&t=2345"))
    assert humanize.duration(12_000_000) == "3,333 h 20 min"
