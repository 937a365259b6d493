"""Factories for accounts, grants and tokens."""

from datetime import UTC, datetime
from typing import Any

import factory
from django.contrib.auth.models import Permission
from factory import LazyAttribute, Sequence
from factory.django import DjangoModelFactory

from accounts import keys
from accounts.models import AppGrant, PlayToken, User
from tests.apps import App

PASSWORD = "correct horse battery"
NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
T = int(NOW.timestamp())
ALICE = "0b9f2a4e-5f0c-4f4e-9d55-3f1c8a2f7a10"
APP = App()


class UserFactory(DjangoModelFactory[User]):
    """A listener, who can log in only if a ``password`` is given: hashing one takes time."""

    class Meta:
        model = User

    username: Any = Sequence(lambda number: f"listener{number}")
    email = LazyAttribute(lambda user: f"{user.username.lower()}@example.org")

    @classmethod
    def _create(cls, model_class: type[User], *args: Any, **fields: Any) -> User:
        return model_class.objects.create_user(*args, **fields)


class OperatorFactory(UserFactory):
    """The administrator. Without one, the instance waits for its set-up."""

    username = "Olivia"
    password = PASSWORD
    is_staff = is_superuser = True


class HelperFactory(UserFactory):
    """A staff member with some ``permissions``, given by their code names."""

    class Meta:
        skip_postgeneration_save = True

    username = "Henry"
    is_staff = True

    @factory.post_generation
    def permissions(self: User, create: bool, names: Any, **options: Any) -> None:
        self.user_permissions.set(Permission.objects.filter(codename__in=names or ()))


class AppGrantFactory(DjangoModelFactory[AppGrant]):
    """Only the row of a grant, which may be invalid; ``App.grant`` authorizes an app as a user does."""

    class Meta:
        model = AppGrant

    user = factory.SubFactory(UserFactory)
    app_id = "castaway"
    name = "Castaway"
    public_key = keys.read_pem(APP.public_key)
    fingerprint = keys.fingerprint(keys.read_pem(APP.public_key))
    scopes = ("user",)
    created_at = updated_at = NOW


class PlayTokenFactory(DjangoModelFactory[PlayToken]):
    """A play token whose text is not known; ``PlayToken.objects.issue`` returns both."""

    class Meta:
        model = PlayToken

    user = factory.SubFactory(UserFactory)
    name = "Kitchen radio"
    now = NOW

    @classmethod
    def _create(cls, model_class: type[PlayToken], *args: Any, **fields: Any) -> PlayToken:
        token, _ = model_class.objects.issue(*args, **fields)
        return token


class ClaimsFactory(factory.DictFactory):
    """The claims of a token; one given as ``...`` is left out."""

    iss = APP.iss
    iat = T

    @classmethod
    def _build(cls, model_class: Any, *args: Any, **claims: Any) -> dict[str, Any]:
        return {name: value for name, value in claims.items() if value is not ...}


class RequestClaimsFactory(ClaimsFactory):
    """The claims of a valid request token."""

    sub = ALICE
    exp = T + 600


class AuthorizationClaimsFactory(ClaimsFactory):
    """The claims of a valid authorization token."""

    app = factory.LazyFunction(APP.description)
    scopes = factory.LazyFunction(lambda: ["user.plays"])
    exp = T + 3600


request_claims = RequestClaimsFactory.build
authorization_claims = AuthorizationClaimsFactory.build
