"""Reference data: what an instance looks things up in, the same on every instance of a version.

It is in files beside this module, because the operator loads and removes it, whichever app reads it. It is
not in migrations, so that changing a name means changing a line, not adding a migration.
"""

import tomllib
from pathlib import Path
from typing import NamedTuple

import psycopg
from django.db import IntegrityError, connections, transaction

from feeds.models import Category
from operations.exclusive import Say, exclusive, raw_connection

CATEGORIES = Path(__file__).parent / "categories.toml"
STORE = "system"
DELETE = 'DELETE FROM "system"."categories" WHERE seeded AND slug = ANY(%s)'


class InUse(Exception):
    """Something refers to rows that were to be removed: nothing was removed. The text names the table."""


class Changes(NamedTuple):
    """``written``: rows that were added or renamed."""

    written: int
    removed: int

    def __str__(self) -> str:
        return f"{self.written} rows written, {self.removed} removed" if any(self) else "up to date"


def wanted(path: Path = CATEGORIES) -> dict[str, Category]:
    """Return the categories of this version, by slug."""
    found = {}
    for slug, top in tomllib.loads(path.read_text()).items():
        found[slug] = Category(slug=slug, name=top["name"], seeded=True)
        for below, name in top.get("below", {}).items():
            found[below] = Category(slug=below, name=name, parent_id=slug, seeded=True)
    return found


def up(say: Say, path: Path = CATEGORIES) -> Changes:
    """Bring the reference data to this version.

    The operator's own rows stay, and so do rows of older versions that something refers to: ``say`` gets a
    line for each. Takes one ``SELECT`` if nothing has changed. Raises ``django.db.Error`` when the store is
    away.
    """
    goal = wanted(path)
    with exclusive(raw_connection(STORE), STORE, say), transaction.atomic(using=STORE):
        there = list(Category.objects.all())
        rows = {each.slug: (each.name, each.parent_id) for each in there if each.seeded}
        own = {each.slug for each in there if not each.seeded}
        for slug in sorted(own & goal.keys()):
            say(f"category {slug}: there is one of your own, which stays as it is")
        others = [each for slug, each in goal.items() if slug not in own]
        written = [each for each in others if rows.get(each.slug) != (each.name, each.parent_id)]
        Category.objects.bulk_create(
            written, update_conflicts=True, unique_fields=["slug"], update_fields=["name", "parent"]
        )
        gone = sorted(rows.keys() - goal.keys(), key=lambda slug: rows[slug][1] is None)  # children first
        return Changes(len(written), sum(_withdraw(slug, say) for slug in gone))


def down(say: Say) -> int:
    """Remove what ``up`` made, in whichever version. Return the number of rows. Raises ``InUse``."""
    with exclusive(raw_connection(STORE), STORE, say), transaction.atomic(using=STORE):
        return _delete(list(Category.objects.filter(seeded=True).values_list("slug", flat=True)))


def _withdraw(slug: str, say: Say) -> int:
    try:
        return _delete([slug])
    except InUse as used:
        say(f"category {slug} is not in the list any more, and stays: {used}")
        return 0


def _delete(slugs: list[str]) -> int:
    # not through the models, which might cascade to what refers to it: the database checks, and refuses
    connection = connections[STORE]
    try:
        with transaction.atomic(using=STORE), connection.cursor() as cursor:
            cursor.execute(DELETE, [slugs])
            removed = int(cursor.rowcount)
            connection.check_constraints()
    except IntegrityError as error:
        table = error.__cause__.diag.table_name if isinstance(error.__cause__, psycopg.Error) else None
        raise InUse(f"rows of {STORE}.{table} refer to it") from error
    return removed
