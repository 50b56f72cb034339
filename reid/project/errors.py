"""One kind of error for what a user can mend: its text says where, what, and what comes next."""


class ReidError(Exception):
    """Shown to the user as one line, without a traceback; the command ends with status 2."""

    def __str__(self) -> str:
        """One printable line: names of files and damaged data may hold control characters."""
        text = super().__str__()
        return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
