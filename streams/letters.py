"""Dead letters: what was no event, with the reason, and where it stood. Whoever reads them learns nobody's account."""

from collections.abc import Callable
from typing import Any, Final

import msgspec

from spread.events import Rejected

_HASHED: Final = {"id", "actor", "root", "via", "target"}
_SHOWN: Final = {"v", "kind", "network", "at", "offer", "source", "followers", "complete", "part", "of", "stage", "n"}
_LONGEST: Final = 512
"""Characters of one value that are kept."""


def letter(rejected: Rejected, topic: str, partition: int, offset: int, hash_: Callable[[str], str]) -> bytes:
    """A dead letter, as JSON.

    Of an object the fields that are nobody's are shown, ids hashed, and all else named by its type alone. What can't
    be read as an object is only measured, since it may hold anything.
    """
    told: dict[str, Any] = {
        "reason": rejected.reason,
        "detail": rejected.detail[:_LONGEST],
        "topic": topic,
        "partition": partition,
        "offset": offset,
        "index": rejected.index,
        "bytes": len(rejected.raw),
    }
    try:
        found = msgspec.json.decode(rejected.raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        found = None
    if isinstance(found, dict):
        told["input"] = {
            name: _impersonal(name, value, hash_) for name, value in found.items() if name in _HASHED | _SHOWN
        }
        told["other_fields"] = sorted(name[:_LONGEST] for name in found.keys() - _HASHED - _SHOWN)[:64]
    return msgspec.json.encode(told)


def _impersonal(name: str, value: Any, hash_: Callable[[str], str]) -> Any:
    if not isinstance(value, str):
        return value if isinstance(value, int | float | bool | None) else type(value).__name__
    return hash_(value) if name in _HASHED else value[:_LONGEST]
