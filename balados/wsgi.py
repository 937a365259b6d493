"""The WSGI entry point of the web process."""

import os

from django.core.wsgi import get_wsgi_application

from balados import readiness

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "balados.settings")
application = get_wsgi_application()
readiness.announce("web")
