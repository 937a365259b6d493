"""Whoever works in the administration, at a browser."""

from django.contrib.auth.models import Permission
from django.test import Client

from accounts.models import User


def of(user: User) -> Client:
    """The user's browser, logged in."""
    client = Client()
    client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    return client


def helper(*permissions: str) -> User:
    """Staff with some permissions."""
    user = User.objects.create_user("Henry", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    return user
