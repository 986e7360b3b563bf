"""Erasing an account: from the engine, and from the connectors' own files, which name it in clear.

The erasure is sent first. Then each file is erased from by itself, also while a connector has it open: where one can't
be had, the others are done all the same.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Final

from connectors.journal import Journal, JournalError
from connectors.lookups import Lookups
from connectors.near_misses import NearMissError, NearMisses
from ricochet import corrections
from ricochet.errors import RicochetError
from ricochet.settings import Settings
from spread.events import MAX_ID_BYTES, Forget

_ACCOUNT: Final = re.compile(r"[a-z][a-z0-9_.-]{0,63}:\S+")
_DIGEST_BYTES: Final = 16


@dataclass
class Erased:
    """What was erased where: entries by file, and what is wrong with the files that could not be had."""

    is_taken_in: bool
    entries: dict[str, int] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)


def erasure(account: str, now: int) -> Forget:
    """The event that erases an account. Raises `RicochetError` where that is none."""
    if not _ACCOUNT.fullmatch(account) or len(account.encode(errors="replace")) > MAX_ID_BYTES:
        raise RicochetError(f"{account!r} is no account such as x:{account.lstrip('@') or '123'}")
    digest = blake2b(f"{account}\n{now}".encode(), digest_size=_DIGEST_BYTES).hexdigest()
    network = account.partition(":")[0]
    return Forget(v=1, id=f"{network}:forget-{digest}", network=network, at=now, actor=account)


def forget(settings: Settings, event: Forget) -> Erased:
    """Erase an account, given in clear or hashed, everywhere."""
    hashing = settings.hashing
    erased = Erased(corrections.send(settings, event, hashing))
    hashed = None if hashing is None else hashing.name
    clear = {event.actor}
    for path, opened in _files(settings):
        try:
            with closing(opened(path)) as file:
                if hashing is not None and "#" in event.actor:
                    clear |= {one for one in file.accounts() if hashing.name(one) == event.actor}
                erased.entries[path.name] = sum(file.forget(one, hashed) for one in clear)
        except JournalError as error:
            erased.faults.append(str(error))
    try:
        if settings.near_misses.exists():
            with NearMisses(settings.near_misses) as near:
                erased.entries[settings.near_misses.name] = sum(map(near.forget, clear))
    except NearMissError as error:
        erased.faults.append(str(error))
    return erased


def _files(settings: Settings) -> Iterator[tuple[Path, Callable[[Path], Journal | Lookups]]]:
    for path in sorted(settings.journals.glob("*.journal")):
        yield path, Journal
    for path in sorted(settings.journals.glob("*.lookups")):
        yield path, lambda path: Lookups(path, 0)
