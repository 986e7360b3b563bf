"""Bringing an export in: its rows become events as those of a connector do, and go to Kafka or into the state file.

An import can be done again, of the same rows or of more, as often as one likes: what comes twice has the same id. What
it has seen of offers is kept in a journal of its own, so that a later export finds the posts of an earlier one.
"""

import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from connectors import columns, export_rows, outcomes
from connectors.completion import Completion
from connectors.connector import Normal
from connectors.database import Database
from connectors.exports import ROWS, Export, Rank, Row
from connectors.journal import Journal, JournalError
from connectors.near_misses import NearMissError
from connectors.table_files import TableError
from ricochet.errors import RicochetError
from ricochet.followed import Followed, Store
from ricochet.publisher import open_door
from ricochet.settings import Settings
from spread.events import Act, AnyEvent, Counts, Outcome, Rejected
from streams.clock import wall_clock
from streams.embedded import Embedded

Take = Callable[[list[AnyEvent]], object]
"""Takes events; returns once they are safe."""


@dataclass(frozen=True)
class Reading:
    """How the rows of an export are read."""

    fields: tuple[str, ...]
    normalise: Callable[[Row], Sequence[Normal]]
    rank: Callable[[Row], Rank]


ACTS: Final = Reading(export_rows.FIELDS, export_rows.normalise, export_rows.rank)
OUTCOMES: Final = Reading(outcomes.FIELDS, outcomes.normalise, outcomes.rank)

_PAGES: Final = 10
"""Pages of which the events are made safe at a time."""


@dataclass
class Census:
    """What became of the rows of an export."""

    rows: int = 0
    rejected: int = 0
    elsewhere: int = 0
    """Rows about none of the offers."""
    kinds: Counter[str] = field(default_factory=Counter)
    offers: set[str] = field(default_factory=set)

    def __str__(self) -> str:
        kinds = ", ".join(f"{n:,} {kind}" for kind, n in sorted(self.kinds.items()))
        bad, other = f"{self.rejected:,} bad", f"{self.elsewhere:,} about no offer"
        return f"{self.rows:,} rows, {bad}, {other}; events: {kinds or 'none'}; {len(self.offers):,} offers"

    def add(self, events: Iterable[AnyEvent]) -> None:
        """Count the events of a row."""
        for event in events:
            self.kinds[str(event.__struct_config__.tag)] += 1
            if isinstance(event, Act | Counts | Outcome):
                self.offers.add(event.offer)


def reading(network: str) -> Reading:
    """How exports of a network are read: acts of accounts, but for outcomes, which are nobody's."""
    return OUTCOMES if network == outcomes.NETWORK else ACTS


def opened(
    files: Sequence[str],
    network: str,
    mapping: Path | None,
    given: Iterable[str],
    progress: Callable[[int], object] = lambda _: None,
) -> Export:
    """The export that some files are. Raises `RicochetError` for what is none, or can't be mapped so."""
    try:
        read = reading(network)
        mapped = columns.read(read.fields, mapping, given)
        return Export([Path(file) for file in files], network, read.fields, mapped, rank=read.rank, progress=progress)
    except (columns.ColumnsError, TableError) as error:
        raise RicochetError(str(error)) from None


@contextmanager
def taker(settings: Settings) -> Iterator[Take]:
    """What takes events for this installation: the door to Kafka, or the engine on its state file."""
    hashing = settings.hashing
    if hashing is None:
        raise RicochetError("an export brings names of people: set hash_key or hash_key_file, to hash them")
    if settings.engine == "kafka":
        with open_door(settings, hashing) as door:

            def publish(events: list[AnyEvent]) -> None:
                door.publish(events)
                door.flush()

            yield publish
        return
    with Embedded(settings.state, keeping=settings.keeping) as engine:
        yield lambda events: engine.feed([hashing.event(event) for event in events], None, wall_clock())


def import_(
    export: Export,
    network: str,
    store: Store,
    settings: Settings,
    take: Take,
    *,
    progress: Callable[[int], object] = lambda _: None,
    on_rejected: Callable[[str], object] = lambda _: None,
) -> Census:
    """Bring the rows of an export to `take`, as events; `progress` is told rows, `on_rejected` what is bad with one."""
    try:
        offers = Followed(settings.near_misses)
        try:
            offers.read(store)
            with Journal(settings.journals / f"import-{network}.journal", settings.own) as journal:
                completion = Completion(journal, offers.match, network, unseen=offers.unseen)
                normalise = reading(network).normalise
                return _import(export, normalise, journal, completion, take, progress=progress, on_rejected=on_rejected)
        finally:
            offers.close()
    except (JournalError, NearMissError, TableError) as error:
        raise RicochetError(str(error)) from None


@contextmanager
def rehearsed(settings: Settings, network: str) -> Iterator[Settings]:
    """Settings whose journals and near misses are copies, of which nothing stays; and a state that is made."""
    with tempfile.TemporaryDirectory(prefix="ricochet-") as name:
        folder = Path(name)
        for path in (settings.journals / f"import-{network}.journal", settings.near_misses):
            if path.exists():
                database = Database(path, RicochetError)
                try:
                    database.copy_to(folder / path.name)
                finally:
                    database.close()
        places = {"journals": folder, "near_misses": folder / settings.near_misses.name}
        if not settings.state.exists():
            places["state"] = folder / "state"
        yield settings.model_copy(update=places)


def _import(
    export: Export,
    normalise: Callable[[Row], Sequence[Normal]],
    journal: Journal,
    completion: Completion,
    take: Take,
    *,
    progress: Callable[[int], object],
    on_rejected: Callable[[str], object],
) -> Census:
    census = Census(rows=len(export))
    some = _PAGES * ROWS
    for start in range(0, len(export), some):
        events: list[AnyEvent] = []
        for row in export.rows(start, some):
            for said in normalise(row):
                if isinstance(said, Rejected):
                    census.rejected += 1
                    on_rejected(said.detail)
                    continue
                found = completion.events(said, "import")
                census.elsewhere += not found
                census.add(found)
                events += found
        take(events)
        journal.save(journal.turn(None, export.heard(min(len(export), start + some))))
        progress(min(len(export), start + some))
    return census
