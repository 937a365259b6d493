"""Several clients at once, each in a process of its own: with threads, Python's interpreter lock would be the
limit."""

import multiprocessing
import time
from collections.abc import Callable
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier

from benchmarks import environment

Step = Callable[[], int]
# A client is given its number, prepares, and returns its step: a function that does one operation and returns
# how much it counts.
Client = Callable[[int], Step]

_fork = multiprocessing.get_context("fork")
WARM_UP = 20
PATIENCE = 60.0


def per_second(client: Client, count: int, seconds: float) -> float:
    """Return what ``count`` clients together get done per second. Raises ``RuntimeError`` if one fails."""
    environment.let_go()
    start = _fork.Barrier(count)
    results: Queue[tuple[int, float]] = _fork.Queue()
    processes = [
        _fork.Process(target=_work, args=(client, number, start, seconds, results)) for number in range(count)
    ]
    for process in processes:
        process.start()
    done = [results.get(timeout=PATIENCE + seconds) for _ in processes]
    for process in processes:
        process.join()
    if any(elapsed == 0 for _, elapsed in done):
        raise RuntimeError("a client failed; its traceback is above")
    return sum(count / elapsed for count, elapsed in done)


def _work(
    client: Client, number: int, start: Barrier, seconds: float, results: "Queue[tuple[int, float]]"
) -> None:
    done, elapsed = 0, 0.0
    try:
        step = client(number)
        for _ in range(WARM_UP):
            step()
        start.wait(PATIENCE)
        begin = time.perf_counter()
        while time.perf_counter() < begin + seconds:
            done += step()
        elapsed = time.perf_counter() - begin
    except BaseException:
        start.abort()
        raise
    finally:
        results.put((done, elapsed))
        # others may still be measuring, so nothing is left for Python to close at exit
        environment.let_go()


def interleaved(
    contenders: dict[str, Client], count: int, seconds: float, rounds: int
) -> dict[str, list[float]]:
    """Return the rates of every contender, one per round. Rounds alternate, A B C A B C, so that a slow
    period of the machine affects all alike."""
    rates: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, client in contenders.items():
            rates[name].append(per_second(client, count, seconds))
    return rates
