from django.apps import AppConfig


class PlayGatewayConfig(AppConfig):
    name = "playgateway"
