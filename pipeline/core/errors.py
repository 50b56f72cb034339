"""One kind of error for what a user can mend: its text says where, what, and what comes next."""


class ReidError(Exception):
    """Shown to the user as one line, without a traceback; the command ends with status 2."""
