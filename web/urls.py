"""The pages."""

from django.urls import URLPattern, URLResolver, path

from web import account, views

urlpatterns: list[URLPattern | URLResolver] = [
    path("", views.home, name="home"),
    path("dashboard", views.dashboard, name="dashboard"),
    path("settings/account", account.account, name="account"),
    path("health/ready", views.ready, name="ready"),
]
