"""What the domain refuses."""


class DomainError(Exception):
    """A command that the rules refuse; ``code`` is for machines and never changes, ``detail`` for people."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(code)
        self.code = code
        self.detail = detail
