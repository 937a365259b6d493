"""``python -m tests.template DIRECTORY``: a PostgreSQL data directory with migrated stores.

``make test`` makes one and gives each of its parts a copy, so that they need not create and migrate their
stores. ``test_balados`` has all three; ``test_balados_projections`` and ``_events`` the two in databases of
their own. ``balados`` is that of an instance as ``make run`` makes it.
"""

import os
import subprocess
import sys
from pathlib import Path


def main(directory: Path) -> None:
    from tests import servers  # noqa: F401  starts them

    os.environ["DJANGO_SETTINGS_MODULE"] = "balados.settings"
    import django
    from django.db import connections

    django.setup()
    from eventstore import instance
    from operations import stores
    from tests import embedding

    three = {alias: connections[alias].settings_dict["NAME"] for alias in stores.SCHEMAS}
    one, of_an_instance = (dict.fromkeys(three, name) for name in ("test_balados", "balados"))
    for names in (three, one, of_an_instance):
        for alias, name in names.items():
            connections[alias].close()
            connections[alias].close_pool()  # type: ignore[attr-defined]
            connections[alias].settings_dict["NAME"] = name
        instance.forget()
        stores.create(say=str)
        stores.migrate(verbosity=0, say=str)
    home = Path(os.environ["BALADOS_HOME"])
    embedding.stop_postgres(home)
    # with its owner, which is not us where we are root
    subprocess.run(["cp", "--archive", home / "postgres", directory], check=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
