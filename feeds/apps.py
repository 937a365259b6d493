from django.apps import AppConfig


class FeedsConfig(AppConfig):
    name = "feeds"
    verbose_name = "Podcasts"

    def ready(self) -> None:
        from feeds import checks  # noqa: F401  registers them
