"""The same application for ASGI servers: the contenders of benchmarks/servers.py."""

import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "balados.settings")
application = get_asgi_application()
