"""Reference data: what an instance looks things up in, the same on every instance of a version.

It is in files beside this one, since it is the operator's to bring up and down, whichever app reads it. Not
in migrations: a name that changes is then a changed line, and not another migration.
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
    """Something refers to what should go: nothing was removed. The text names the table."""


class Changes(NamedTuple):
    added: int
    updated: int
    removed: int

    def __str__(self) -> str:
        if not any(self):
            return "up to date"
        words = {"added": self.added, "updated": self.updated, "removed": self.removed}
        return ", ".join(f"{count} {word}" for word, count in words.items() if count)


def wanted(path: Path = CATEGORIES) -> dict[str, Category]:
    """The categories of this version, by slug."""
    found = {}
    for slug, top in tomllib.loads(path.read_text()).items():
        found[slug] = Category(slug=slug, name=top["name"], seeded=True)
        for below, name in top.get("below", {}).items():
            found[below] = Category(slug=below, name=name, parent_id=slug, seeded=True)
    return found


def up(say: Say, path: Path = CATEGORIES) -> Changes:
    """Bring the reference data to this version's. The operator's own rows stay: ``say`` hears which.

    One ``SELECT`` where nothing has changed. Raises ``django.db.Error`` when the store is away.
    """
    goal = wanted(path)
    with exclusive(raw_connection(STORE), STORE, say), transaction.atomic(using=STORE):
        there = {category.slug: category for category in Category.objects.all()}
        for slug in sorted(goal.keys() & there.keys()):
            if not there[slug].seeded:
                say(f"category {slug}: there is one of your own, which stays as it is")
        missing = [category for slug, category in goal.items() if slug not in there]
        changed = [
            category for slug, category in goal.items() if slug in there and _differs(category, there[slug])
        ]
        Category.objects.bulk_create(missing)
        Category.objects.bulk_update(changed, ["name", "parent"])
        gone = [category for slug, category in there.items() if category.seeded and slug not in goal]
        gone.sort(key=lambda category: category.parent_id is None)  # children first
        return Changes(len(missing), len(changed), _withdraw([category.slug for category in gone], say))


def down(say: Say) -> int:
    """Remove what ``up`` made, whichever version of it. Returns how many rows. Raises ``InUse``."""
    with exclusive(raw_connection(STORE), STORE, say), transaction.atomic(using=STORE):
        return _delete(list(Category.objects.filter(seeded=True).values_list("slug", flat=True)))


def _differs(category: Category, there: Category) -> bool:
    return there.seeded and (category.name, category.parent_id) != (there.name, there.parent_id)


def _withdraw(slugs: list[str], say: Say) -> int:
    """Remove what this version does not know any more, unless something refers to it."""
    removed = 0
    for slug in slugs:
        try:
            removed += _delete([slug])
        except InUse as used:
            say(f"category {slug} is not in the list any more, and stays: {used}")
    return removed


def _delete(slugs: list[str]) -> int:
    # not by the models, which might take along what refers to it: the database is asked, and says no
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
