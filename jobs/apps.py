from django.apps import AppConfig


class JobsConfig(AppConfig):
    name = "jobs"

    def ready(self) -> None:
        from accounts.mails import wanted
        from jobs.mails import order

        wanted.connect(order)
