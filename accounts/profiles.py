"""Profiles: what listeners say about themselves, and the files of their pictures."""

import secrets
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple
from uuid import UUID

from django.db import connections, transaction

from accounts.models import Avatar, Profile, User
from accounts.usernames import username_key

NAME_BYTES: Final = 16
# words are matched as in the search for podcasts (feeds/search.py); there are few public profiles, so they
# have no index
FIND: Final = """
(SELECT true, account.id, account.username, coalesce(nullif(profile.public_name, ''), account.username),
        profile.avatar
   FROM "system"."profiles" AS profile JOIN "system"."users" AS account ON account.id = user_id
  WHERE profile.is_public AND NOT profile.is_withdrawn AND account.is_active AND account.erasing_since IS NULL
    AND system.search_words(profile.public_name || ' ' || account.username) @@ system.search_query(%s)
    AND account.username_key > %s
  ORDER BY account.username_key LIMIT %s)
UNION ALL
SELECT false, account.id, account.username, coalesce(nullif(profile.public_name, ''), account.username),
       coalesce(profile.avatar, '')
  FROM "system"."users" AS account
  LEFT JOIN "system"."profiles" AS profile
    ON profile.user_id = account.id AND profile.is_public AND NOT profile.is_withdrawn
 WHERE account.id = ANY(%s) AND account.is_active
"""


class Person(NamedTuple):
    """A listener as seen by others. ``name``: the public name of the profile, or else the user name.
    ``avatar``: the name of its picture files, or ""."""

    user_id: UUID
    username: str
    name: str
    avatar: str


def of(user: User) -> Profile:
    """Return a listener's own profile, or an empty one if there is none."""
    return Profile.objects.filter(user=user).first() or Profile(user=user)


def people(ids: Iterable[UUID]) -> dict[UUID, Person]:
    """Return these listeners as seen by others, without those who have no active account."""
    wanted = set(ids)
    if not wanted:
        return {}
    users = User.objects.filter(pk__in=wanted, is_active=True).select_related("profile")
    return {user.pk: person(user, _published(user)) for user in users}


def find(
    words: str, after: str, limit: int, also: Iterable[UUID] = ()
) -> tuple[list[Person], dict[UUID, Person]]:
    """Return listeners with a public profile whose name or user name contains these words, or words that
    begin with them.

    They are in the order of user names, from the one after ``after``. The listeners of ``also`` are returned
    too, as by ``people``, so that a page that needs both makes a single query.
    """
    with connections["system"].cursor() as cursor:
        cursor.execute(FIND, [words, username_key(after), limit, list(also)])
        rows = [(is_found, Person._make(row)) for is_found, *row in cursor.fetchall()]
    found = [person for is_found, person in rows if is_found]
    return found, {person.user_id: person for is_found, person in rows if not is_found}


def person(user: User, profile: Profile | None) -> Person:
    """Return a listener as seen by others; ``profile`` is the listener's public profile, if there is one."""
    name = (profile.public_name if profile else "") or user.username
    return Person(user.pk, user.username, name, profile.avatar if profile else "")


def published(user_id: UUID) -> Profile | None:
    """Return the profile that a listener has made public, if there is one."""
    return Profile.objects.filter(user_id=user_id, is_public=True, is_withdrawn=False).first()


def withdraw(ids: Iterable[UUID], withdrawn: bool) -> int:
    """Hide the profiles of these listeners from everybody else, or show them again as the listeners chose.

    Returns how many changed. What these listeners do in public is not affected.
    """
    chosen = Profile.objects.filter(user_id__in=list(ids)).exclude(is_withdrawn=withdrawn)
    return chosen.update(is_withdrawn=withdrawn)


def keep(profile: Profile, pictures: Mapping[int, bytes] | None) -> None:
    """Store a profile and its picture.

    ``pictures``: WebP files by their size in pixels, which replace the previous ones; None keeps those, and
    an empty mapping deletes them.
    """
    with transaction.atomic(using="system"):
        if pictures is not None:
            Avatar.objects.filter(user=profile.user).delete()
            profile.avatar = secrets.token_urlsafe(NAME_BYTES) if pictures else ""
            Avatar.objects.bulk_create(
                Avatar(user=profile.user, name=profile.avatar, size=size, data=data)
                for size, data in pictures.items()
            )
        profile.save()


def picture(name: str, size: int, reader: UUID | None) -> bytes | None:
    """Return a picture file; None if there is none, or its profile is neither public nor the ``reader``'s
    own."""
    found = Avatar.objects.filter(name=name, size=size).select_related("user__profile").first()
    if found is None or not (found.user.pk == reader or (found.user.is_active and _published(found.user))):
        return None
    return bytes(found.data)


def largest(profile: Profile) -> bytes | None:
    """Return the largest file of a profile's picture, if there is one."""
    found = Avatar.objects.filter(user=profile.user, name=profile.avatar).order_by("-size").first()
    return bytes(found.data) if found else None


def _published(user: User) -> Profile | None:
    profile: Profile | None = getattr(user, "profile", None)
    is_shown = profile is not None and profile.is_public and not profile.is_withdrawn
    return profile if is_shown else None
