"""Which column of an export holds what: a mapping from the fields that are read to the columns there are.

It is a TOML file, `field=column` on the command line, or both. A column that is named like a field needs no line; one
that nobody mapped is not read.

    zone = "Europe/Paris"             # of times without an offset; UTC where it is not said
    date_format = "%d/%m/%Y %H:%M"    # of times that are not ISO 8601 and no seconds or ms since 1970
    [columns]
    at = "Date"
    actor = "Membre"
    [kinds]
    Partage = "share"
"""

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

_PARTS: Final = ("columns", "kinds", "zone", "date_format")
_LAST_MS: Final = 253_402_300_799_999
_SECONDS: Final = 10**11
"""A number below it counts seconds (until the year 5138), else ms (from 1973 on)."""


class ColumnsError(Exception):
    """A mapping can't be used. One line."""


@dataclass(frozen=True)
class Columns:
    """A mapping: `of` gives columns by field, `kinds` the kind that a word of the export (in lower case) stands for."""

    of: Mapping[str, str] = field(default_factory=dict)
    kinds: Mapping[str, str] = field(default_factory=dict)
    zone: tzinfo = UTC
    date_format: str | None = None

    def column(self, name: str) -> str:
        """The column of a field."""
        return self.of.get(name, name)

    def kind(self, word: str) -> str:
        """The kind that a word stands for."""
        return self.kinds.get(word.lower(), word.lower())

    def moment(self, text: str) -> int:
        """A time in ms. Raises `ValueError`, without the text, where it is none."""
        try:
            if self.date_format is not None:
                moment = datetime.strptime(text, self.date_format)
            elif text.isascii() and text.isdigit():
                ms = int(text) if int(text) >= _SECONDS else int(text) * 1000
                return _in_range(ms)
            else:
                moment = datetime.fromisoformat(text)
            if moment.tzinfo is None:
                moment = moment.replace(tzinfo=self.zone)
            return _in_range(round(moment.timestamp() * 1000))
        except (ValueError, OverflowError):
            form = self.date_format or "2026-09-01T12:00:00+02:00"
            raise ValueError(f"no time such as {form}") from None


def read(fields: Iterable[str], path: Path | None = None, given: Iterable[str] = ()) -> Columns:
    """The mapping of a TOML file, if there is one, and what is `given` as `field=column` in place of its lines.

    Raises `ColumnsError` for what is no mapping of these fields.
    """
    table = {} if path is None else _table(path)
    where = "" if path is None else f"{path}: "
    for part in table.keys() - set(_PARTS):
        raise ColumnsError(f"{where}unknown part {part!r}; there are {', '.join(_PARTS)}")
    of = _texts(where, "columns", table.get("columns", {}))
    for one in given:
        name, sign, column = one.partition("=")
        if not sign or not column.strip():
            raise ColumnsError(f"{one!r} is no field=column")
        of[name.strip()] = column.strip()
    known = [*fields]
    for name in of.keys() - set(known):
        near = get_close_matches(name, known, 1)
        raise ColumnsError(f"{where}no field {name!r}; {f'did you mean {near[0]}?' if near else f'there are {known}'}")
    kinds = _texts(where, "kinds", table.get("kinds", {}))
    formats = _texts(where, "", {part: table[part] for part in ("zone", "date_format") if part in table})
    zone = UTC if "zone" not in formats else _zone(where, formats["zone"])
    return Columns(of, {word.lower(): kind for word, kind in kinds.items()}, zone, formats.get("date_format"))


def _table(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text())
    except OSError as error:
        raise ColumnsError(f"{path}: {error.strerror or error}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ColumnsError(f"{path}: {error}") from None


def _texts(where: str, part: str, value: Any) -> dict[str, str]:
    if not isinstance(value, dict):
        raise ColumnsError(f"{where}{part} is a table such as [{part}]")
    for name, text in value.items():
        if not isinstance(text, str) or not text:
            raise ColumnsError(f"{where}{f'{part}.' if part else ''}{name} is a text")
    return dict(value)


def _zone(where: str, name: str) -> tzinfo:
    try:
        return ZoneInfo(name)
    except (OSError, ValueError, KeyError):  # what it raises depends on the name and the machine's database
        raise ColumnsError(f"{where}no time zone {name!r}, such as Europe/Paris") from None


def _in_range(ms: int) -> int:
    if not 0 <= ms <= _LAST_MS:
        raise ValueError
    return ms
