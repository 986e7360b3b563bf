"""What goes wrong for a user, in one line."""


class RicochetError(Exception):
    """Printed as one line on stderr; the command ends with code 2."""
