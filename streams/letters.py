"""Dead letters: what was no event, with the reason, and where it stood. Whoever reads them learns nobody's account."""

import re
from collections.abc import Callable, Iterable
from typing import Any, Final

import msgspec

from spread.events import UNREADABLE, Rejected

_HASHED: Final = {"id", "actor", "root", "via", "target"}
_SHOWN: Final = {"v", "kind", "network", "at", "offer", "source", "followers", "complete", "part", "of", "stage", "n"}
_LONGEST: Final = 512
"""Characters of one value that are kept."""
_WORD: Final = re.compile(r"[$@]?[A-Za-z][A-Za-z_]{0,63}")


def letter(rejected: Rejected, topic: str, partition: int, offset: int, hash_: Callable[[str], str]) -> bytes:
    """A dead letter, as JSON.

    Of an object the fields that are nobody's are shown, ids hashed, and all else named by its type alone. What can't
    be read as an object is only measured, since it may hold anything.
    """
    told = _told(rejected, topic, partition, offset)
    if (found := _object(rejected)) is not None:
        told["input"] = {
            name: _impersonal(name, value, hash_) for name, value in found.items() if name in _HASHED | _SHOWN
        }
        told["other_fields"] = _names(found.keys() - _HASHED - _SHOWN)
    return msgspec.json.encode(told)


def foreign_letter(rejected: Rejected, source: str) -> bytes:
    """A dead letter, as JSON, of a network's own message, which `source` could not read and no topic holds.

    A network's fields mean what they like, so all of them are only named.
    """
    told = _told(rejected, source, None, None)
    if (found := _object(rejected)) is not None:
        told["other_fields"] = _names(found)
    return msgspec.json.encode(told)


def _told(rejected: Rejected, topic: str, partition: int | None, offset: int | None) -> dict[str, Any]:
    return {
        "reason": rejected.reason,
        "detail": rejected.detail[:_LONGEST],
        "topic": topic,
        "partition": partition,
        "offset": offset,
        "index": rejected.index,
        "bytes": len(rejected.raw),
    }


def _object(rejected: Rejected) -> dict[str, Any] | None:
    try:
        found = msgspec.json.decode(rejected.raw)
    except UNREADABLE:
        return None
    return found if isinstance(found, dict) else None


def _names(fields: Iterable[str]) -> list[str]:
    """Those that are words: an account or a post that stands for a field, as networks have it, is not named."""
    return sorted({name if _WORD.fullmatch(name) else "…" for name in fields})[:64]


def _impersonal(name: str, value: Any, hash_: Callable[[str], str]) -> Any:
    if not isinstance(value, str):
        return value if isinstance(value, int | float | bool | None) else type(value).__name__
    return hash_(value) if name in _HASHED else value[:_LONGEST]
