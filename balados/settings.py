"""Settings, read from the environment (django-environ). Every variable is listed in docs/settings.md."""

import os
from datetime import timedelta
from pathlib import Path

import environ
from celery.schedules import crontab
from csp.constants import NONCE, NONE, SELF
from django.core.exceptions import ImproperlyConfigured

from balados import logs
from balados.databases import redis_url, replicas, store

BASE_DIR = Path(__file__).resolve().parent.parent
env = environ.Env()

BALADOS_HOME = Path(env.str("BALADOS_HOME", default=str(BASE_DIR / ".balados"))).absolute()
# What `make run` chose by itself (its secret key, its embedded servers), so that manage.py beside it works
# on the same data. The environment wins.
if (BALADOS_HOME / "environment").is_file():
    env.read_env(BALADOS_HOME / "environment")
DEBUG = env.bool("DEBUG", default=False)
# Whether db_reset may delete what nothing rebuilds where DEBUG is off; set it for the one command.
ALLOW_DESTRUCTIVE_RESET = env.bool("ALLOW_DESTRUCTIVE_RESET", default=False)
# No default: Django refuses to sign anything without it.
SECRET_KEY = env.str("SECRET_KEY", default="")
LISTEN_HOST = env.str("LISTEN_HOST", default="127.0.0.1")
# Processes that answer requests (balados/serve.py).
WEB_CONCURRENCY = env.int("WEB_CONCURRENCY", default=min(os.cpu_count() or 1, 4))
PORT = env.int("PORT", default=8000)
# Where the instance is reached from outside; links, `aud` and the Host check come from it alone.
PUBLIC_URL = env.str("PUBLIC_URL", default=f"http://localhost:{PORT}").rstrip("/")
_public = environ.urlparse(PUBLIC_URL)
ALLOWED_HOSTS = env.list(
    "ALLOWED_HOSTS", default=[_public.hostname or "localhost", "localhost", "127.0.0.1", "[::1]"]
)
HTTPS = _public.scheme == "https"
SETUP_TOKEN = env.str("SETUP_TOKEN", default="")
REGISTRATION_OPEN = env.bool("REGISTRATION_OPEN", default=True)
# What others see of a listener who has set nothing.
DEFAULT_PRIVACY = env.str("DEFAULT_PRIVACY", default="private")
if DEFAULT_PRIVACY not in ("public", "anonymous", "private"):
    raise ImproperlyConfigured("DEFAULT_PRIVACY is public, anonymous or private.")
# How many proxies in front of us may be believed about X-Forwarded-For.
TRUSTED_PROXIES = env.int("TRUSTED_PROXIES", default=0)

INSTALLED_APPS = [
    "balados",
    "accounts",
    "eventstore",
    "projections",
    "api",
    "web",
    "jobs",
    "operations",
    "feeds",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "axes",
    "csp",
]

MIDDLEWARE = [
    # around everything: the request's id, its line in the log, its count
    "balados.requests.Observed",
    # /api/ needs none of the others, and leaves them out
    "api.middleware.ApiGate",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "axes.middleware.AxesMiddleware",
]

ROOT_URLCONF = "balados.urls"
WSGI_APPLICATION = "balados.wsgi.application"
APPEND_SLASH = False

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]

# Stores. One URL is enough; the other two default to it.
DATABASE_URL = env.str("DATABASE_URL", default="postgresql://postgres:@/balados?host=/var/run/postgresql")
_pool = {
    "min_size": 1,
    "max_size": env.int("DATABASE_POOL_SIZE", default=16),
    "timeout": env.float("DATABASE_POOL_TIMEOUT", default=5.0),
}
DATABASES = {
    "default": {},
    "system": store("system", DATABASE_URL, pool=_pool),
    "projections": store("projections", env.str("PROJECTIONS_URL", default="") or DATABASE_URL, pool=_pool),
    "events": store("events", env.str("EVENT_STORE_URL", default="") or DATABASE_URL, pool=_pool),
}
# Streaming replicas of the projections. Reads may go to them (projections/replicas.py) while what they lack
# is younger than so many seconds.
_replicas = replicas(env.list("PROJECTIONS_REPLICA_URLS", default=[]), pool=_pool)
DATABASES |= _replicas
PROJECTIONS_REPLICAS = list(_replicas)
PROJECTIONS_REPLICA_MAX_LAG_SECONDS = env.float("PROJECTIONS_REPLICA_MAX_LAG_SECONDS", default=10.0)
DATABASE_ROUTERS = ["balados.routers.StoreRouter"]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"


# Retention (jobs/retention.py): events older than this go, once a checkpoint stands for them.
RETENTION_DAYS = env.int("RETENTION_DAYS", default=45)
# A sync after which a stream has more events than this since its last checkpoint takes one.
CHECKPOINT_EVERY = env.int("CHECKPOINT_EVERY", default=2000)

# Digests of erased accounts, for restores (accounts/ledger.py).
ERASURE_LEDGER = env.str("ERASURE_LEDGER", default="") or str(BALADOS_HOME / "erasures")

REDIS_URL = redis_url(env.str("REDIS_URL", default="") or "redis://localhost:6379/0")

# Seconds that a migration waits for a table: whoever wants the table meanwhile waits behind it. Less than a
# request waits for a connection (DATABASE_POOL_TIMEOUT), so that none fails for it.
MIGRATION_LOCK_TIMEOUT = env.float("MIGRATION_LOCK_TIMEOUT", default=1.0)

# Accounts
AUTH_USER_MODEL = "accounts.User"
AUTHENTICATION_BACKENDS = ["axes.backends.AxesStandaloneBackend", "django.contrib.auth.backends.ModelBackend"]
PASSWORD_HASHERS = ["accounts.hashers.SmallArgon2PasswordHasher"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
]
LOGIN_URL = "/users/log_in"
LOGIN_REDIRECT_URL = "/dashboard"
LOGOUT_REDIRECT_URL = "/"

# django-axes against guessing (accounts/guessing.py has the limits)
AXES_HANDLER = "accounts.guessing.GuessingHandler"
AXES_USERNAME_CALLABLE = "accounts.guessing.counted_name"
AXES_CLIENT_IP_CALLABLE = "accounts.addresses.client_address"
AXES_LOCKOUT_CALLABLE = "accounts.guessing.locked_out"
AXES_FAILURE_LIMIT = 6
AXES_COOLOFF_TIME = timedelta(minutes=15)
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"], "ip_address", "username"]
AXES_RESET_ON_SUCCESS = True
# going on during a lock-out does not prolong it: else strangers could keep a name locked for good
AXES_RESET_COOL_OFF_ON_FAILURE_DURING_LOCKOUT = False
AXES_HTTP_RESPONSE_CODE = 429
# not written down with an attempt
AXES_SENSITIVE_PARAMETERS = ["username", "ip_address", "next", "csrfmiddlewaretoken"]
AXES_DISABLE_ACCESS_LOG = True

# Browser-side safety
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = HTTPS
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_AGE = 60 * 60 * 24 * 30
X_FRAME_OPTIONS = "DENY"
SECURE_REFERRER_POLICY = "same-origin"
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_SSL_REDIRECT = False  # the proxy in front ends TLS
SECURE_HSTS_SECONDS = 31_536_000 if HTTPS else 0
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if TRUSTED_PROXIES else None
CSRF_TRUSTED_ORIGINS = [PUBLIC_URL]
# check --deploy: the redirect to https belongs to the proxy that ends TLS (W008); neighbours under our domain
# (W005) and the browsers' preload list (W021) are for its owner to decide
SILENCED_SYSTEM_CHECKS = [
    "security.W005",
    "security.W008",
    "security.W021",
    "auth.W004",  # user names are unique by their key, and looked up by it (accounts/models.py)
]
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF, NONCE],
        "style-src": [SELF],
        "img-src": [SELF, "data:", "https:"],
        "connect-src": [SELF],
        "font-src": [SELF],
        "form-action": [SELF],
        "base-uri": [NONE],
        "frame-ancestors": [NONE],
    }
}

# Per app and user; and what fails to authenticate, per address. 0: no limit.
API_REQUESTS_PER_MINUTE = env.int("API_REQUESTS_PER_MINUTE", default=1200)
API_FAILURES_PER_MINUTE = env.int("API_FAILURES_PER_MINUTE", default=120)
# What one address reads below /api/v1/public/.
PUBLIC_REQUESTS_PER_MINUTE = env.int("PUBLIC_REQUESTS_PER_MINUTE", default=120)

# 16 MiB: the largest sync (api.md)
DATA_UPLOAD_MAX_MEMORY_SIZE = 16 * 1024 * 1024
DATA_UPLOAD_MAX_NUMBER_FIELDS = 1000

LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_TZ = True

STATIC_URL = "/static/"
STATICFILES_DIRS = [BASE_DIR / "static"]
# WhiteNoise serves the files where they lie: nothing to collect, nothing to go stale
WHITENOISE_USE_FINDERS = True

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["api.auth.GrantAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["api.auth.HasScope"],
    "DEFAULT_THROTTLE_CLASSES": ["api.throttles.GrantLimit"],
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "api.renderers.OneFormat",
    "DEFAULT_RENDERER_CLASSES": ["api.renderers.JsonRenderer"],
    "DEFAULT_PARSER_CLASSES": ["api.parsers.BodyParser"],
    "DEFAULT_SCHEMA_CLASS": "api.schema.ApiSchema",
    "EXCEPTION_HANDLER": "api.errors.exception_handler",
    "UNAUTHENTICATED_USER": None,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Balados",
    "DESCRIPTION": "Keeps a listener's podcasts in step across apps and devices.",
    "VERSION": "1",
    "OAS_VERSION": "3.1.0",
    "POSTPROCESSING_HOOKS": ["api.schema.add_components"],
    "SERVE_INCLUDE_SCHEMA": False,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
}

CELERY_BROKER_URL = REDIS_URL.replace("unix://", "redis+socket://").replace("?db=", "?virtual_host=")
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_TASK_DEFAULT_QUEUE = "default"
CELERY_TASK_IGNORE_RESULT = True
# a task that dies with its worker is done again: every task must bear that
CELERY_TASK_ACKS_LATE = True
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_BEAT_SCHEDULE_FILENAME = str(BALADOS_HOME / "celerybeat-schedule")
CELERY_BEAT_SCHEDULE = {
    "purge idempotency keys": {"task": "jobs.tasks.purge_commands", "schedule": crontab(minute="7")},
    "purge used tokens": {"task": "jobs.tasks.purge_used_tokens", "schedule": crontab(minute="17")},
    "retention": {"task": "jobs.tasks.run_worker", "schedule": crontab(minute="*/5")},
    "finish erasures": {"task": "jobs.tasks.finish_erasures", "schedule": crontab(minute="*/5")},
    "clear sessions": {"task": "jobs.tasks.clear_sessions", "schedule": crontab(minute="27")},
}

CACHES = {"default": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": REDIS_URL}}

LOGGING = logs.configuration(
    env.str("LOG_LEVEL", default="INFO"), env.str("LOG_FORMAT", default="") or "console"
)

# Who may read /metrics: these networks, and who sends the token (none: nobody by token)
METRICS_NETWORKS = env.list("METRICS_NETWORKS", default=["127.0.0.0/8", "::1/128"])
METRICS_TOKEN = env.str("METRICS_TOKEN", default="")
# /health/ready answers 503 when a projector is further behind than this
READY_MAX_LAG_SECONDS = env.float("READY_MAX_LAG_SECONDS", default=60.0)
READY_MAX_LAG_EVENTS = env.int("READY_MAX_LAG_EVENTS", default=50_000)
