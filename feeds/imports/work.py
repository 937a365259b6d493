"""Run an import from another sync server, from where it stopped to its end."""

import logging
from datetime import timedelta
from typing import Final

from django.conf import settings

from accounts.import_models import ServerImport
from eventstore import log, retention
from eventstore.dispatcher import Conflict, StreamErased
from feeds.imports.client import Account, ServerFault
from feeds.imports.progress import Progress, Stage
from feeds.imports.run import Announce, Between, Clock, Run, Stopped
from feeds.imports.stages import STAGES

logger = logging.getLogger(__name__)

# waits after each failure in a row; one more failure ends the import
WAITS: Final = tuple(timedelta(seconds=seconds) for seconds in (5, 30, 120, 300, 600))
# stages that are skipped where the server fails in them
LEFT_OUT: Final[frozenset[Stage]] = frozenset({"settings", "favourites"})


def work(
    row: ServerImport,
    password: str,
    clock: Clock,
    announce: Announce,
    between: Between = lambda _: False,
) -> timedelta | None:
    """Run a claimed import. Returns after how long it is to be tried again, or None where it is not.

    Raises the store's error where it is unavailable; the import is to be tried again then, too.
    """
    run = Run(row, Account(row.server, row.name, password), clock, announce, between)
    try:
        if not password:
            raise ServerFault("given_up")
        _go_through(run)
    except Stopped:
        return None
    except StreamErased:
        run.end("cancelled")
    except ServerFault as fault:
        return _failed(run, fault)
    except Conflict:
        return _failed(run, ServerFault("server_error"))
    else:
        run.end("")
    _log(run.progress, row)
    return None


def _go_through(run: Run) -> None:
    progress = run.progress
    while progress.stage != "done":
        stage, following = STAGES[progress.stage]
        progress.begin_part()
        try:
            stage(run)
        except ServerFault as fault:
            if progress.stage not in LEFT_OUT or _is_tried_again(progress, fault):
                raise
            progress.missed.append(progress.stage)  # type: ignore[arg-type]
        if progress.stage != "looking":
            progress.settle_part(progress.stage)
        progress.stage = following
        run.keep()
    retention.note_growth(log.stream_of(run.user_id), settings.CHECKPOINT_EVERY)


def _failed(run: Run, fault: ServerFault) -> timedelta | None:
    """Handle a fault: an import that has just been started ends at once, so that its listener learns why; one
    under way is tried again."""
    progress = run.progress
    progress.fault, progress.place = fault.code, fault.place
    if progress.stage == "looking" or not _is_tried_again(progress, fault):
        run.end(fault.code)
        _log(progress, run.row)
        return None
    wait = max(WAITS[progress.tries], fault.wait or timedelta(0))
    progress.tries += 1
    run.put_off(run.clock() + wait)
    return wait


def _is_tried_again(progress: Progress, fault: ServerFault) -> bool:
    return fault.is_passing and progress.tries < len(WAITS)


def _log(progress: Progress, row: ServerImport) -> None:
    """Log the result, without the address, which may reveal whose server it is."""
    counts = ", ".join(f"{of.new} {kind}" for kind, of in progress.counts.items())
    how, server = progress.fault or "done", progress.flavour or "a server"
    logger.info("Import %s from %s: %s; new are %s", row.pk, server, how, counts or "none")
