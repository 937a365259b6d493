"""Helpers for the authorization page: apps that ask for access, and users who answer."""

from urllib.parse import parse_qs, urlsplit

from tests.apps import App
from tests.web.people import Response, Visitor, text_of

CASTAWAY = App()
# has CASTAWAY's id and name, but another key
IMPOSTOR = App(key="second")


def ask(visitor: Visitor, token: str) -> Response:
    return visitor.get("/authorize", {"token": token})


def decide(visitor: Visitor, token: str, decision: str = "approve", **fields: str) -> Response:
    return visitor.send("/authorize", {"token": token, "decision": decision, **fields})


def main_of(response: Response) -> str:
    return text_of(response).split("<main")[1].split("</main>")[0]


def answer_of(response: Response) -> dict[str, list[str]]:
    return parse_qs(urlsplit(response["Location"]).query)
