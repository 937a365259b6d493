"""Which app belongs to which store. No query crosses stores; an unrouted query fails on the empty default
database.

Reads of the read models choose a replica by themselves (projections/replicas.py): the position of the rows
tells them whether the replica is recent enough. A query through a model cannot do that, so it is routed to
the primary. A replica belongs to no app, so it is never migrated.
"""

from typing import Any

from django.db.models import Model

STORES = {"eventstore": "events", "projections": "projections"}


class StoreRouter:
    """Every app that is not listed in ``STORES`` belongs to the system store."""

    def db_for_read(self, model: type[Model], **hints: Any) -> str:
        return STORES.get(model._meta.app_label, "system")

    db_for_write = db_for_read

    def allow_relation(self, one: Model, other: Model, **hints: Any) -> bool:
        # not type(): request.user is a lazy object, which only pretends to be a User
        return self.db_for_read(one.__class__) == self.db_for_read(other.__class__)

    def allow_migrate(self, db: str, app_label: str, **hints: Any) -> bool:
        return STORES.get(app_label, "system") == db
