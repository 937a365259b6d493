"""Profiles: what listeners tell of themselves, and the files of their pictures."""

import secrets
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple
from uuid import UUID

from django.db import connections, transaction

from accounts.models import Avatar, Profile, User
from accounts.usernames import username_key

NAME_BYTES: Final = 16
# words as podcasts are found by them (feeds/search.py); there are few public profiles, so no index holds them
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
    """A listener as others see him; ``name`` is the public name of his profile, or the user name. ``avatar``:
    the name of its files, or ""."""

    user_id: UUID
    username: str
    name: str
    avatar: str


def of(user: User) -> Profile:
    """A listener's own profile; an empty one where he has told nothing."""
    return Profile.objects.filter(user=user).first() or Profile(user=user)


def people(ids: Iterable[UUID]) -> dict[UUID, Person]:
    """These listeners as others see them, as far as they have an account that is in use."""
    wanted = set(ids)
    if not wanted:
        return {}
    users = User.objects.filter(pk__in=wanted, is_active=True).select_related("profile")
    return {user.pk: person(user, _published(user)) for user in users}


def find(
    words: str, after: str, limit: int, also: Iterable[UUID] = ()
) -> tuple[list[Person], dict[UUID, Person]]:
    """Listeners with a public profile that has these words, or their beginnings, in name or user name; in the
    order of user names, beyond the one that is ``after``. And those of ``also``, as ``people`` tells them, so
    that a page that needs both asks once."""
    with connections["system"].cursor() as cursor:
        cursor.execute(FIND, [words, username_key(after), limit, list(also)])
        rows = [(is_found, Person._make(row)) for is_found, *row in cursor.fetchall()]
    found = [person for is_found, person in rows if is_found]
    return found, {person.user_id: person for is_found, person in rows if not is_found}


def person(user: User, profile: Profile | None) -> Person:
    """A listener as others see him, of whom ``profile`` is the public one, if there is any."""
    name = (profile.public_name if profile else "") or user.username
    return Person(user.pk, user.username, name, profile.avatar if profile else "")


def published(user_id: UUID) -> Profile | None:
    """The profile that a listener has made public, if he has."""
    return Profile.objects.filter(user_id=user_id, is_public=True, is_withdrawn=False).first()


def withdraw(ids: Iterable[UUID], withdrawn: bool) -> int:
    """Hide what these listeners tell of themselves from everybody else, or show it again as they have chosen;
    returns how many that changed. What they do in public is another matter, and stays as it is."""
    chosen = Profile.objects.filter(user_id__in=list(ids)).exclude(is_withdrawn=withdrawn)
    return chosen.update(is_withdrawn=withdrawn)


def keep(profile: Profile, pictures: Mapping[int, bytes] | None) -> None:
    """Store a profile. ``pictures``: WebP files by their size in pixels, in the place of those before; none
    leaves those, and no files at all take them away."""
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
    """A file; None where there is none, or its profile is neither public nor the ``reader``'s own."""
    found = Avatar.objects.filter(name=name, size=size).select_related("user__profile").first()
    if found is None or not (found.user.pk == reader or (found.user.is_active and _published(found.user))):
        return None
    return bytes(found.data)


def largest(profile: Profile) -> bytes | None:
    """The largest file of a profile's picture."""
    found = Avatar.objects.filter(user=profile.user, name=profile.avatar).order_by("-size").first()
    return bytes(found.data) if found else None


def _published(user: User) -> Profile | None:
    profile: Profile | None = getattr(user, "profile", None)
    is_shown = profile is not None and profile.is_public and not profile.is_withdrawn
    return profile if is_shown else None
