"""Django's settings. The settings of operators are in balados/environment.py."""

import tomllib
from datetime import timedelta
from urllib.parse import urlsplit

from celery.schedules import crontab
from csp.constants import NONCE, NONE, SELF

from balados import databases, environment, logs
from balados.environment import *  # noqa: F403  the settings that an operator makes

VERSION = tomllib.loads((environment.BASE_DIR / "pyproject.toml").read_text())["project"]["version"]
# Where PUBLIC_URL is not set, the address of the last `make run` applies: a command runs beside that
# instance.
if "PUBLIC_URL" not in environment.given and "PUBLIC_URL" in environment.remembered:
    PUBLIC_URL = environment.remembered["PUBLIC_URL"]
else:
    PUBLIC_URL = environment.PUBLIC_URL
HTTPS = PUBLIC_URL.startswith("https://")
# the common beginning of episodes' play addresses
PLAY_URL = f"{PUBLIC_URL}/play"
if environment.PLAY_DOMAIN:
    _public = urlsplit(PUBLIC_URL)
    _port = "" if _public.port is None else f":{_public.port}"
    PLAY_URL = f"{_public.scheme}://{environment.PLAY_DOMAIN}{_port}"
ALLOWED_HOSTS = [
    str(urlsplit(PUBLIC_URL).hostname),
    *environment.ALLOWED_HOSTS,
    *filter(None, [environment.PLAY_DOMAIN]),
    "localhost",
    "127.0.0.1",
    "[::1]",
]

INSTALLED_APPS = [
    "balados",
    "accounts",
    "eventstore",
    "projections",
    "api",
    "web",
    "live",
    "jobs",
    "operations",
    "playgateway",
    "feeds",
    "balados.administration.AdministrationConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "axes",
    "csp",
    "django_htmx",
]

MIDDLEWARE = [
    # outermost: the request's id, its log line, its metrics
    "balados.requests.Observed",
    # /play, /rss and the host of PLAY_DOMAIN need none of the others
    "playgateway.middleware.PlayGate",
    # /api/ needs none of those below, and skips them
    "api.middleware.ApiGate",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "accounts.sessions.LastSeen",
    "accounts.language.LanguageOfListener",
    "web.player.allow_audio",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "axes.middleware.AxesMiddleware",
]

ROOT_URLCONF = "balados.urls"
WSGI_APPLICATION = "balados.wsgi.application"
APPEND_SLASH = False

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [environment.BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "web.navigation.sections",
            ]
        },
    }
]

_pool = {
    "min_size": 1,
    "max_size": environment.DATABASE_POOL_SIZE,
    "timeout": environment.DATABASE_POOL_TIMEOUT,
    # After so many seconds a failed attempt to connect is given up, and the next request makes a new one at
    # once. The pool's own 300 let the pauses grow to a minute, in which a store that is back is not used.
    "reconnect_timeout": environment.DATABASE_POOL_TIMEOUT,
}
_replicas = databases.replicas(environment.PROJECTIONS_REPLICA_URLS, pool=_pool)
DATABASES = {
    "default": {},
    "system": databases.store("system", environment.DATABASE_URL, pool=_pool),
    "projections": databases.store("projections", environment.PROJECTIONS_URL, pool=_pool),
    "events": databases.store("events", environment.EVENT_STORE_URL, pool=_pool),
    **_replicas,
}
PROJECTIONS_REPLICAS = list(_replicas)
DATABASE_ROUTERS = ["balados.routers.StoreRouter"]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# Accounts
AUTH_USER_MODEL = "accounts.User"
AUTHENTICATION_BACKENDS = ["axes.backends.AxesStandaloneBackend", "django.contrib.auth.backends.ModelBackend"]
PASSWORD_HASHERS = ["accounts.passwords.SmallArgon2PasswordHasher"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
    {"NAME": "accounts.passwords.VarietyValidator"},
]
LOGIN_URL = "/users/log_in"
LOGIN_REDIRECT_URL = "/"
LOGOUT_REDIRECT_URL = "/"
# seconds that the links of accounts/recovery.py are valid
PASSWORD_RESET_TIMEOUT = 60 * 60 * 24

# Mails (accounts/mails.py)
SENDS_MAIL = bool(environment.EMAIL_URL.backend)
EMAIL_BACKEND = environment.EMAIL_URL.backend or "django.core.mail.backends.dummy.EmailBackend"
EMAIL_HOST, EMAIL_PORT = environment.EMAIL_URL.host, environment.EMAIL_URL.port
EMAIL_HOST_USER, EMAIL_HOST_PASSWORD = environment.EMAIL_URL.user, environment.EMAIL_URL.password
EMAIL_USE_SSL, EMAIL_USE_TLS = environment.EMAIL_URL.use_ssl, environment.EMAIL_URL.use_tls
EMAIL_TIMEOUT = 20.0  # seconds
DEFAULT_FROM_EMAIL = SERVER_EMAIL = environment.EMAIL_FROM

# django-axes limits the guessing of passwords (the limits are in accounts/login_limits.py)
AXES_HANDLER = "accounts.login_limits.GuessingHandler"
AXES_USERNAME_CALLABLE = "accounts.login_limits.counted_name"
AXES_CLIENT_IP_CALLABLE = "accounts.addresses.client_address"
AXES_LOCKOUT_CALLABLE = "accounts.login_limits.locked_out"
AXES_FAILURE_LIMIT = 6
AXES_COOLOFF_TIME = timedelta(minutes=15)
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"], "ip_address", "username"]
AXES_RESET_ON_SUCCESS = True
# Attempts during a lock-out do not prolong it: otherwise strangers could keep a name locked for good.
AXES_RESET_COOL_OFF_ON_FAILURE_DURING_LOCKOUT = False
AXES_HTTP_RESPONSE_CODE = 429
# parameters that are not stored with an attempt
AXES_SENSITIVE_PARAMETERS = ["username", "ip_address", "next", "csrfmiddlewaretoken"]
AXES_DISABLE_ACCESS_LOG = True
# accounts/admin.py has its own page for this
AXES_ENABLE_ADMIN = False

# Browser security
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = HTTPS
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
SESSION_ENGINE = "accounts.sessions"
# podcast apps use a cookie "sessionid" of their own (accounts/app_login.py), which opens no page
SESSION_COOKIE_NAME = "balados_session"
SESSION_COOKIE_AGE = 60 * 60 * 24 * 30
X_FRAME_OPTIONS = "DENY"
SECURE_REFERRER_POLICY = "same-origin"
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_SSL_REDIRECT = False  # the proxy in front terminates TLS
SECURE_HSTS_SECONDS = 31_536_000 if HTTPS else 0
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if environment.TRUSTED_PROXIES else None
CSRF_TRUSTED_ORIGINS = [PUBLIC_URL]
# Silenced for check --deploy: the redirect to https belongs to the proxy that terminates TLS (W008).
# Subdomains (W005) and the browsers' preload list (W021) are decisions of the domain's owner.
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
        # Browsers differ in whether "self" includes WebSockets, and without a proxy these are on another
        # port.
        "connect-src": [SELF, environment.LIVE_URL] if environment.LIVE else [SELF],
        "font-src": [SELF],
        "manifest-src": [SELF],
        "form-action": [SELF],
        "base-uri": [NONE],
        "frame-ancestors": [NONE],
    }
}

# 16 MiB is the largest sync (api.md)
DATA_UPLOAD_MAX_MEMORY_SIZE = 16 * 1024 * 1024
DATA_UPLOAD_MAX_NUMBER_FIELDS = 1000

LANGUAGE_CODE = "en"
LANGUAGES = [("en", "English"), ("fr", "Français")]
LOCALE_PATHS = [environment.BASE_DIR / "locale"]
FORMAT_MODULE_PATH = ["web.formats"]
# ``unlocalize`` marks the numbers in templates that are read by machines
USE_THOUSAND_SEPARATOR = True
TIME_ZONE = "UTC"
USE_TZ = True

STATIC_URL = "/static/"
STATICFILES_DIRS = [environment.BASE_DIR / "static"]
# WhiteNoise serves the files from where they are: there is nothing to collect, and nothing that gets outdated
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
    "DESCRIPTION": (
        "Keeps a listener's podcasts in step across apps and devices. How an app is let in, what its tokens"
        " hold, how devices sync and what each error asks for is explained in docs/apps.md of the source."
    ),
    "VERSION": "1",
    "OAS_VERSION": "3.1.0",
    "POSTPROCESSING_HOOKS": ["api.schema.add_components"],
    "SERVE_INCLUDE_SCHEMA": False,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
}

CELERY_BROKER_URL = environment.REDIS_URL.replace("unix://", "redis+socket://").replace(
    "?db=", "?virtual_host="
)
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
# one list per queue instead of four: workers poll all of them once a second
CELERY_BROKER_TRANSPORT_OPTIONS = {"priority_steps": [0]}
CELERY_IMPORTS = ["jobs.covers", "jobs.documents", "jobs.feeds", "jobs.imports", "jobs.mails", "jobs.moves"]
CELERY_TASK_DEFAULT_QUEUE = "default"
CELERY_TASK_ROUTES = {
    "jobs.feeds.pump": {"queue": "feeds"},
    "jobs.feeds.renew_hubs": {"queue": "feeds"},
    "jobs.feeds.fetch_now": {"queue": "feeds_now"},
    "jobs.documents.fetch": {"queue": "feeds_now"},
    "jobs.documents.look": {"queue": "feeds_now"},
    "jobs.imports.run": {"queue": "feeds_now"},
    "jobs.covers.refresh_wanted": {"queue": "covers"},
}
# A pump runs for minutes, so a worker must not reserve tasks that another could run.
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_TASK_IGNORE_RESULT = True
# a task whose worker dies is run again, which every task must tolerate
CELERY_TASK_ACKS_LATE = True
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
# what EMAIL_URL=console: prints must not become log lines
CELERY_WORKER_REDIRECT_STDOUTS = False
CELERY_BEAT_SCHEDULE_FILENAME = str(environment.BALADOS_HOME / "celerybeat-schedule")
CELERY_BEAT_SCHEDULE = {
    "purge idempotency keys": {"task": "jobs.tasks.purge_commands", "schedule": crontab(minute="7")},
    "purge used tokens": {"task": "jobs.tasks.purge_used_tokens", "schedule": crontab(minute="17")},
    "retention": {"task": "jobs.tasks.run_worker", "schedule": crontab(minute="*/5")},
    "finish erasures": {"task": "jobs.tasks.finish_erasures", "schedule": crontab(minute="*/5")},
    "reconcile feeds": {"task": "jobs.feeds.reconcile", "schedule": crontab(minute="37")},
    "follow moved feeds": {"task": "jobs.moves.follow_moves", "schedule": crontab(minute="*/10")},
    "settle held removals": {"task": "jobs.tasks.settle_removals", "schedule": crontab(minute="57")},
    "resume imports": {"task": "jobs.imports.resume", "schedule": crontab()},
    "clear sessions": {"task": "jobs.tasks.clear_sessions", "schedule": crontab(minute="27")},
    **(
        {"renew hubs": {"task": "jobs.feeds.renew_hubs", "schedule": crontab(minute="47")}}
        if environment.WEBSUB
        else {}
    ),
    # a pump that is still running is not started a second time
    **{
        f"feeds, pump {number}": {
            "task": "jobs.feeds.pump",
            "args": (number,),
            "schedule": timedelta(seconds=10),
            "options": {"expires": 10.0},
        }
        for number in range(environment.FEED_PUMPS)
    },
}

CACHES = {
    "default": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": environment.REDIS_URL}
}

LOGGING = logs.configuration(environment.LOG_LEVEL, environment.LOG_FORMAT)
