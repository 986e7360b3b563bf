"""Secrets of the settings: given themselves, in the environment, or in a file that is named; never shown."""

from pathlib import Path

from pydantic import SecretStr

from ricochet.errors import RicochetError


def secret_in(name: str, given: SecretStr | None, file: Path | None, least: int = 1) -> str | None:
    """The secret of setting `name`, of at least so many characters; None where there is none.

    Raises `RicochetError`, without the secret, where both are given, or the file can't be read or holds too little.
    """
    if file is None:
        return given.get_secret_value() if given else None
    if given:
        raise RicochetError(f"settings {name} and {name}_file: give one of them")
    try:
        secret = file.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text"
        raise RicochetError(f"setting {name}_file: {file}: {why}") from None
    if len(secret) < least:
        raise RicochetError(f"setting {name}_file: {file}: it has at least {least} characters")
    return secret
