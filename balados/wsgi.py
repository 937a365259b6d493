"""The WSGI application of the web process."""

import os

from django.core.wsgi import get_wsgi_application

from balados import celery  # noqa: F401  what the web sends to the workers goes where its settings say

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "balados.settings")
application = get_wsgi_application()
