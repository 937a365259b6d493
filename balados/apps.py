from django.apps import AppConfig


class BaladosConfig(AppConfig):
    name = "balados"
