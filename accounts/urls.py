"""URLs of the pages for set-up, registration, log-in and the approval of apps."""

from django.urls import path

from accounts import approval, views

urlpatterns = [
    path("setup", views.set_up, name="set_up"),
    path("users/register", views.register, name="register"),
    path("users/log_in", views.log_in, name="log_in"),
    path("users/log_out", views.log_out, name="log_out"),
    path("authorize", approval.authorize, name="authorize"),
    path("app-creator", views.app_creator, name="app_creator"),
]
