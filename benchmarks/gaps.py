"""Events that a follower misses while commits are delayed and rolled back on purpose: there must be none.

For comparison, it also runs the reader that everybody writes first, ``position > last``, which shows what the
follower has to cope with.
"""

import multiprocessing
import random
import time
from uuid import uuid4

from benchmarks import environment, sample
from benchmarks.report import Goal, Section, number
from benchmarks.scale import Scale
from eventstore import database, log
from eventstore.codec import encode
from eventstore.follower import Follower

WRITERS = 8
LONGEST_DELAY = 0.02
ROLLED_BACK = 0.2
NAIVE = "SELECT position FROM events.events WHERE position > %s ORDER BY position LIMIT 1000"

_fork = multiprocessing.get_context("fork")


def run(scale: Scale) -> Section:
    environment.empty()
    environment.let_go()
    until = time.monotonic() + scale.delay_seconds / 2
    writers = [_fork.Process(target=_write, args=(seed, until)) for seed in range(WRITERS)]
    for writer in writers:
        writer.start()
    followed, naive = _read_while(writers)
    for writer in writers:
        writer.join()
    rows = environment.connect().execute("SELECT position FROM events.events ORDER BY position").fetchall()
    recorded = [int(str(position)) for (position,) in rows]
    section = Section(
        "Skipped events under delayed commits and rollbacks",
        ["", "recorded", "delivered", "skipped", "twice"],
        [_row("eventstore.follower", recorded, followed), _row("position > last", recorded, naive)],
    )
    section.goals.append(Goal("skipped events", float(len({*recorded} - {*followed})), 0.0, at_most=True))
    section.notes.append(
        f"{WRITERS} writers hold each append open for up to {LONGEST_DELAY * 1000:.0f} ms"
        f" and roll {ROLLED_BACK:.0%} of them back."
    )
    return section


def _read_while(writers: list[multiprocessing.context.ForkProcess]) -> tuple[list[int], list[int]]:
    """Return the positions that the follower and the naive reader deliver, until neither finds any more."""
    follower = Follower()
    followed: list[int] = []
    naive: list[int] = []
    with environment.connect() as connection:
        resting = False
        while not resting:
            working = any(writer.is_alive() for writer in writers)
            rows = follower.read()
            followed += [row.position for row in rows]
            last = naive[-1] if naive else 0
            found = connection.execute(NAIVE, [last], prepare=True).fetchall()
            naive += [int(str(position)) for (position,) in found]
            resting = not working and not rows and not found and follower.position >= log.head()
            time.sleep(0.001)
    return followed, naive


def _write(seed: int, until: float) -> None:
    """Append with commits that come late, in a different order, or never."""
    chance = random.Random(seed)
    user_id = uuid4()
    stream = log.stream_of(user_id)
    version = 0
    with environment.connect() as connection:
        while time.monotonic() < until:
            parameters = {"stream": stream, "expected": version, "type": "PlayRecorded", "schema": 1}
            data = encode(sample.play(user_id, version)).decode()
            with connection.transaction() as transaction:
                connection.execute(database.SQL["append"], {**parameters, "data": data, "metadata": "{}"})
                time.sleep(chance.random() * LONGEST_DELAY)
                if chance.random() < ROLLED_BACK:
                    transaction.force_rollback = True
                else:
                    version += 1
    environment.let_go()


def _row(name: str, recorded: list[int], delivered: list[int]) -> list[str]:
    skipped = len({*recorded} - {*delivered})
    counts = (len(recorded), len(delivered), skipped, len(delivered) - len({*delivered}))
    return [name, *(number(count) for count in counts)]
