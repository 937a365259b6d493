"""The pages."""

from django.urls import URLPattern, URLResolver, path

from web import account, covers, fetcher, readiness, styleguide, views

urlpatterns: list[URLPattern | URLResolver] = [
    path("", views.home, name="home"),
    path("dashboard", views.dashboard, name="dashboard"),
    path("settings/account", account.account, name="account"),
    path("styleguide", styleguide.styleguide, name="styleguide"),
    path("about/fetcher", fetcher.fetcher, name="fetcher"),
    path("health/live", readiness.live, name="live"),
    path("health/ready", readiness.ready, name="ready"),
    *covers.paths,
]
