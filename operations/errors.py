class OperatorError(Exception):
    """What an operator can cause and mend: a command ends with this text and exit code 1."""


class Refused(OperatorError):
    """This cannot be done; the text says why, and what to do. Nothing was changed."""
