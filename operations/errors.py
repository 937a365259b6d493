class OperatorError(Exception):
    """What an operator can cause and mend: a command ends with this text and exit code 1."""
