"""Pages of the administration that need more than one store: people, the log, read models.

About a listener they show only what is needed to run an instance: accounts, apps, sessions, and when and from
where something arrived. What somebody listens to is shown only where everybody may see it, under the same
name.
"""

from operations.admin import log, people, readmodels

__all__ = ["log", "people", "readmodels"]
