# imported here so that every task goes to the instance's own queues, and not to those of Celery's default app
from balados.celery import app as celery_app

__all__ = ["celery_app"]
