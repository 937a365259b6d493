class OperatorError(Exception):
    """Something that an operator can cause and fix: a command ends with this text and exit code 1."""


class Refused(OperatorError):
    """This cannot be done; the text says why, and what to do. Nothing was changed."""
