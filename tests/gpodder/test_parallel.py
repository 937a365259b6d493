"""Many apps of one listener at the same moment."""

import time

from accounts.models import User
from tests.eventstore.dispatching import at_once
from tests.gpodder.apps import PodcastApp, feed_url, play
from tests.gpodder.conftest import password_of

WRITERS, READERS, TIMES = 8, 4, 4


class Reader(PodcastApp):
    """An app that continues from the marks that it was given, as real apps do."""

    def __init__(self, user: User, number: int) -> None:
        super().__init__(user.username, password_of(user), f"reader-{number}", agent=f"reader {number}")
        self.marks: list[int] = [0]
        self.feed_marks: list[int] = [0]
        self.known: set[str] = set()
        self.feeds: set[str] = set()

    def look(self) -> None:
        answer = self.actions(self.marks[-1])
        self.known |= {one["guid"] for one in answer["actions"]}
        self.marks.append(answer["timestamp"])
        answer = self.subscriptions(self.feed_marks[-1])
        self.feeds = (self.feeds | set(answer["add"])) - set(answer["remove"])
        self.feed_marks.append(answer["timestamp"])


def test_eight_that_write_and_four_that_read_miss_nothing(alice: User) -> None:
    readers = [Reader(alice, number) for number in range(READERS)]
    writers = [PodcastApp("alice", password_of(alice), f"w{number}") for number in range(WRITERS)]

    def work(number: int) -> None:
        for turn in range(TIMES):
            if number < READERS:
                readers[number].look()
                continue
            writer = number - READERS
            writers[writer].upload(play(turn, feed=writer))
            writers[writer].upload_subscriptions([feed_url(100 * writer + turn)])

    at_once(READERS + WRITERS, work)
    everything = {f"episode-{feed}-{turn}" for feed in range(WRITERS) for turn in range(TIMES)}
    followed = {feed_url(100 * feed + turn) for feed in range(WRITERS) for turn in range(TIMES)}
    for reader in readers:
        reader.look()
        assert (reader.known, reader.feeds) == (everything, followed)
        for given in (reader.marks, reader.feed_marks):
            assert given == sorted(given)
            # each app draws its first mark, however far ahead of the clock those of others are
            assert given[-1] <= time.time() + 60 + 2 * (WRITERS + READERS) < 2**31
    assert writers[0].actions(0)["actions"]
