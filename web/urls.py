"""The pages."""

from django.urls import URLPattern, URLResolver, path

from web import views

urlpatterns: list[URLPattern | URLResolver] = [
    path("", views.home, name="home"),
    path("dashboard", views.dashboard, name="dashboard"),
    path("health/ready", views.ready, name="ready"),
]
