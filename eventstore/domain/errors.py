"""The errors of the domain."""


class DomainError(Exception):
    """A command that the rules refuse; ``code`` is for programs and never changes, ``detail`` is for
    people."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(code)
        self.code = code
        self.detail = detail
