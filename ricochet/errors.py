"""What goes wrong for a user, in one line."""

import click


class RicochetError(Exception):
    """Printed as one line on stderr; the command ends with code 2."""


def complain(message: str) -> int:
    """Print what is wrong as one line; the exit code."""
    click.echo(f"ricochet: {' '.join(message.split())}", err=True)
    return 2
