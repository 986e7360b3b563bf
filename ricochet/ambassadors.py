"""Ambassadors: people who agreed to be named, from a file of the employer's. Nobody else's name shows anywhere.

    account,name,consented
    x:100200300,Ana Gómez,2026-09-01

The file (CSV, or YAML as a list of mappings) is looked at again at each question: who is taken out is named no more at
once. A line that is not whole names nobody; a file that can't be read names nobody at all.
"""

import csv
import io
import os
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Final, Self

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from ricochet.errors import RicochetError
from ricochet.logs import logger
from ricochet.settings import Settings
from spread.hashing import Hashing
from streams.clock import wall_clock

_UNREADABLE: Final = (0,)

log = logger(__name__)


class Ambassadors:
    """The ambassadors of a file, or none. Raises `RicochetError` where there is a file that can't be read."""

    def __init__(self, path: Path | None, hashing: Hashing | None = None) -> None:
        self._path, self._hashing = path, hashing
        self._seen: tuple[int, ...] | None = None
        self._consents: list[tuple[str, str, date]] = []
        if path is not None:
            try:
                self._seen, self._consents = _stat(path), _read(path)
            except (OSError, ValueError) as error:
                why = error.strerror if isinstance(error, OSError) else error
                raise RicochetError(f"setting ambassadors: {path}: {why}") from None

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Those of an installation."""
        return cls(settings.ambassadors, settings.hashing)

    def names(self) -> Mapping[str, str]:
        """The names of those who agree now, by account in clear and hashed."""
        if self._path is not None:
            self._look(self._path)
        today = datetime.fromtimestamp(wall_clock() / 1000, UTC).date()
        agreed = {account: name for account, name, since in self._consents if since <= today}
        if self._hashing is None:
            return agreed
        return agreed | {self._hashing.name(account): name for account, name in agreed.items()}

    def lists(self, account: str) -> bool:
        """Whether an account, in clear or hashed, has a line in the file."""
        hashed = set() if self._hashing is None else {self._hashing.name(one) for one, _, _ in self._consents}
        return account in hashed | {one for one, _, _ in self._consents}

    def _look(self, path: Path) -> None:
        try:
            seen = _stat(path)
            if seen == self._seen:
                return
            self._consents = _read(path)
            self._seen = seen
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) else error
            if self._seen != _UNREADABLE:
                log.warning("ambassadors not read", file=str(path), why=str(why))
            self._seen, self._consents = _UNREADABLE, []


def _stat(path: Path) -> tuple[int, ...]:
    found = os.stat(path)
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


def _read(path: Path) -> list[tuple[str, str, date]]:
    """Account, name and the day of consent of each whole line; of two of one account neither. Raises `ValueError`."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError("not UTF-8; save the file as UTF-8") from None
    found: dict[str, tuple[str, str, date]] = {}
    twice = set()
    for number, row in (_csv if path.suffix.lower() == ".csv" else _yaml)(text):
        account, name, consented = (str(row.get(part) or "").strip() for part in ("account", "name", "consented"))
        try:
            since = date.fromisoformat(consented[:10])
        except ValueError:
            since = None
        if since is None or not name or ":" not in account:
            log.warning("no ambassador", file=str(path), row=number, why="account, name or day of consent is missing")
            continue
        if account in found:
            twice.add(account)
        found[account] = account, name, since
    return [one for account, one in found.items() if account not in twice]


def _csv(text: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    head = text.partition("\n")[0]
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=";" if head.count(";") > head.count(",") else ",")
    if not {"account", "name", "consented"} <= {*(reader.fieldnames or ())}:
        raise ValueError("its columns are account, name, consented")
    try:
        yield from enumerate(reader, 2)
    except csv.Error as error:
        raise ValueError(f"not CSV: {error}") from None


def _yaml(text: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    try:
        rows = YAML(typ="safe", pure=True).load(text) or []
    except (YAMLError, RecursionError, ValueError):
        raise ValueError("not YAML") from None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ValueError("a list of mappings is expected, each with account, name and consented")
    yield from enumerate(rows, 1)
