"""The base of all errors that say: the request was wrong, and no work was begun."""


class WrongRequest(Exception):
    """What was asked for cannot be done as asked; the message says what was found and what would do."""
