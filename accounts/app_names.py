"""What the apps of a listener are called, by the ids that their events carry."""

import re
from typing import Final
from uuid import UUID

from django.db import connections

# how accounts.app_login names podcast apps: by session, app password or user agent
PODCAST_APP: Final = re.compile("[spa]:[0-9a-f]{32}")
# A session is called as the app password with which it was opened.
NAMES = """
SELECT app_id, name FROM system.app_tokens WHERE user_id = %(user)s
 UNION ALL
SELECT 'p:' || replace(id::text, '-', ''), name FROM system.app_passwords WHERE user_id = %(user)s
 UNION ALL
SELECT 's:' || replace(session.id::text, '-', ''), password.name
  FROM system.app_sessions session JOIN system.app_passwords password ON password.id = session.password_id
 WHERE session.user_id = %(user)s"""


def app_names(user_id: UUID) -> dict[str, str]:
    """Return the names of the apps that have access, by id. Those that had it once are left out."""
    with connections["system"].cursor() as cursor:
        cursor.execute(NAMES, {"user": user_id})
        return dict(cursor.fetchall())


def is_podcast_app(app_id: str | None) -> bool:
    """Whether it is the id of an app that speaks gpodder's or Nextcloud's protocol. It says nothing to
    people, unlike the ids of other apps."""
    return app_id is not None and PODCAST_APP.fullmatch(app_id) is not None
