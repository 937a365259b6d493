"""Beat knows the tasks by their names alone; they reach the workers as if it knew them."""

import subprocess
import sys

from django.conf import settings

from balados import beat
from balados.celery import app as workers


def test_it_knows_every_task_that_it_sends_by_name_and_sends_it_where_the_workers_look() -> None:
    workers.loader.import_default_modules()
    for name, entry in beat.app.conf.beat_schedule.items():
        assert entry["task"] in workers.tasks, name
        routed = [app.amqp.router.route({}, entry["task"])["queue"].name for app in (beat.app, workers)]
        assert routed[0] == routed[1], name
    assert beat.app.conf.broker_url == workers.conf.broker_url == settings.CELERY_BROKER_URL


def test_it_starts_without_the_applications() -> None:
    program = (
        "import sys; from balados.beat import app; app.loader.init_worker(); app.finalize();"
        "from django.apps import apps; sys.exit(apps.ready or 'jobs.tasks' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0
