"""The Celery application. Tasks are in ``jobs``, and the rest of a worker is in ``worker.py``."""

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "balados.settings")
app = Celery("balados")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
