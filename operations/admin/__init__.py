"""Pages of the administration that need more than one store: people, the log, read models.

What they show of a listener is what keeps an instance running: accounts, apps, sessions, when and from where
something arrived. What somebody listens to is shown only where everybody may see it, under the same name.
"""

from operations.admin import log, people, readmodels

__all__ = ["log", "people", "readmodels"]
