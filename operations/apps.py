from django.apps import AppConfig


class OperationsConfig(AppConfig):
    """What an operator does with the stores; the commands themselves are in balados/management/commands."""

    name = "operations"
