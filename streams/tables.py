"""Faust's tables as the stages use them: rows by partition, on RocksDB or in memory.

Faust recovers them from their changelogs and opens and closes them in rebalances; what a stage writes goes another
way (see `streams.rows`), since Faust's own would let the local store run ahead of the broker.
"""

import asyncio
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import faust
import rocksdict
from faust.stores import memory, rocksdb
from faust.types import TP, EventT, StoreT

from streams.clock import wall_clock
from streams.rows import Changes, Store
from streams.table import SUFFIX, MemoryTable

_BUFFER_BYTES: Final = 2**20, 8 * 2**20
"""Of each of the two buffers in which a partition gathers writes: smaller ones fill too many files, larger ones gain
nothing."""
CURRENT_AT: Final = b"__ricochet\0current-at__"
"""The row that says when a partition on disk was last known to be as its changelog was (ms)."""
_TABLES: Final = Path("v1", "tables")
"""Where Faust keeps the partitions in a worker's folder."""
_ERASED: Final = ".erased"
_OPEN_FILES: Final = 64
"""That a partition has open at a time, at most."""


class RowsTable(faust.Table[bytes, bytes]):
    """A table of raw rows. On disk its partitions share `memory` bytes, of what was read and what is to be written.

    Without any (None) it is in memory and keeps nothing on disk, so that each start reads the whole changelog.
    `deletions_ms`: so long at least the changelog tells that a row was deleted. A copy on disk counts as old after half
    of it; the other half is for reading what it lacks.
    """

    def __init__(self, app: faust.App, name: str, partitions: int, *, memory: int | None, deletions_ms: int) -> None:
        super().__init__(
            app,
            name=name,
            partitions=partitions,
            key_type=bytes,
            value_type=bytes,
            recovery_buffer_size=10_000,
            options=None if memory is None else _bounded(memory // partitions),
        )
        self._in_memory = memory is None
        self.old_ms = deletions_ms // 2

    def partition(self, number: int) -> Store:
        """The store of a partition."""
        store: Any = self.data
        return store.partition(number) if isinstance(store, MemoryStore) else _OnDisk(store, number)

    async def compact(self, number: int) -> None:
        """Have what was overwritten and deleted leave the files of a partition; its writes go on."""
        store: Any = self.data
        await asyncio.to_thread(store.compact, number)

    def reopen(self, number: int) -> None:
        """Let go of the files that a compaction has replaced. For who has the partition now."""
        store: Any = self.data
        store.reopen(number)

    def in_use(self) -> set[str]:
        """The names of the folders on disk that are open: those of the partitions that the worker has."""
        store: Any = self.data
        return set() if self._in_memory else {store.partition_path(number).name for number in store._dbs}

    def _new_store(self) -> StoreT[Any, Any]:
        kind, url = (MemoryStore, "memory://") if self._in_memory else (DiskStore, "rocksdb:")
        options = self.options or {}
        return kind(url, self.app, self, table_name=self.name, key_type=bytes, value_type=bytes, options=options)


class DiskStore(rocksdb.Store):
    """Rows in RocksDB. A partition that is an old copy is thrown away, and read anew from the whole changelog.

    The changelog forgets after a time which rows were deleted. A copy older than that would keep them: facts that were
    erased or have expired since.
    """

    def _open_for_partition(self, partition: int) -> Any:
        database = super()._open_for_partition(partition)
        current_at = int(database.get(CURRENT_AT) or 0)
        table: Any = self.table
        if database.get(self.offset_key) is None or wall_clock() - current_at < table.old_ms:
            return database
        database.close()
        erase([self.partition_path(partition)])
        return super()._open_for_partition(partition)

    def compact(self, partition: int) -> None:
        """Have what was overwritten and deleted leave the files of a partition. Takes a while, in any thread."""
        options = rocksdict.CompactOptions()
        options.set_bottommost_level_compaction(rocksdict.BottommostLevelCompaction.force())
        database: Any = self._dbs.get(partition)
        if database is None:  # taken away meanwhile: it is not to be opened again
            return
        database.flush()
        database.compact_range(None, None, options)

    def reopen(self, partition: int) -> None:
        """Let go of the files that a compaction has replaced, and of the log of which keys were in them."""
        database: Any = self._dbs.pop(partition)
        database.put(CURRENT_AT, b"%d" % wall_clock())  # it is this worker's, so it is as its changelog
        database.close()
        self._db_for_partition(partition)


def old_copies(place: Path, old_ms: int) -> list[Path]:
    """The partitions in a worker's folder that were not written to for so long (ms), and what is left of erased."""
    now, tables = wall_clock(), place / _TABLES
    old = [path for path in tables.glob("*.db") if now - _written_at(path) > old_ms]
    return [*tables.glob(f"*{_ERASED}"), *old]


def erase(copies: Iterable[Path]) -> None:
    """Delete partitions on disk that nobody has open. One that a kill leaves half deleted is never opened again."""
    for path in copies:
        erased = path.with_suffix(_ERASED)
        if path != erased:
            shutil.rmtree(erased, ignore_errors=True)
            path.rename(erased)
        shutil.rmtree(erased)


def _written_at(folder: Path) -> float:
    """When the newest of a folder's files was written to (ms); now where one goes meanwhile, for then it is in use."""
    with suppress(FileNotFoundError):
        return max(path.stat().st_mtime * 1000 for path in (folder, *folder.iterdir()))
    return wall_clock()


class MemoryStore(memory.Store[bytes, bytes]):
    """Rows in memory, kept apart by partition: one that is taken away is forgotten at once."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._partitions: dict[int, _InMemory] = {}

    def partition(self, number: int) -> "_InMemory":
        """The rows of a partition."""
        return self._partitions.setdefault(number, _InMemory())

    def apply_changelog_batch(
        self, batch: Iterable[EventT[Any]], to_key: Callable[[Any], Any], to_value: Callable[[Any], Any]
    ) -> None:
        """Recover rows."""
        for event in batch:
            message = event.message
            self.partition(message.partition).write({message.key or b"": message.value}, message.offset)

    async def on_rebalance(
        self, assigned: set[TP], revoked: set[TP], newly_assigned: set[TP], generation_id: int = 0
    ) -> None:
        """Forget partitions that were taken away, and begin anew with those that came."""
        for tp in revoked | newly_assigned:
            if tp.topic in self.table.changelog_topic.topics:
                self._partitions.pop(tp.partition, None)

    def compact(self, partition: int) -> None:
        """Nothing of it lasts."""

    def reopen(self, partition: int) -> None:
        """Nothing of it lasts."""

    async def on_recovery_completed(self, active_tps: set[TP], standby_tps: set[TP]) -> None:
        """Nothing to be done."""


class _InMemory(MemoryTable):
    def write(self, changes: Changes, offset: int) -> None:
        for row, value in changes.items():
            if value is None:
                self.pop(row, None)
            else:
                self[row] = value


class _OnDisk:
    """One partition in RocksDB. The database is asked for each time: a rebalance may have opened it anew."""

    def __init__(self, store: rocksdb.Store, number: int) -> None:
        """After a recovery: it is as its changelog."""
        self._store, self._number = store, number
        self._database().put(CURRENT_AT, b"%d" % wall_clock())

    def get(self, row: bytes) -> bytes | None:
        value: bytes | None = self._database().get(row)
        return value

    def rows(self, group: bytes) -> Mapping[bytes, bytes]:
        found = {}
        for row, value in self._database().items(from_key=group):
            if not row.startswith(group):
                break
            if len(row) == len(group) + SUFFIX:
                found[row] = value
        return found

    def __iter__(self) -> Iterator[bytes]:
        every = self._database().keys()
        return (row for row in every if row not in (self._store.offset_key, CURRENT_AT))

    def write(self, changes: Changes, offset: int) -> None:
        writes = rocksdict.WriteBatch(raw_mode=True)
        for row, value in changes.items():
            if value is None:
                writes.delete(row)
            else:
                writes.put(row, value)
        writes.put(self._store.offset_key, b"%d" % offset)
        writes.put(CURRENT_AT, b"%d" % wall_clock())
        self._database().write(writes)

    def _database(self) -> Any:
        return self._store._db_for_partition(self._number)


def _bounded(memory: int) -> dict[str, Any]:
    """RocksDB's options for a partition: half its memory to write, or less if that is much, the rest to read.

    By default each may take gigabytes, and all files that the process may open.
    """
    least, most = _BUFFER_BYTES
    buffer = min(max(memory // 4, least), most)
    return {
        "driver": "rocksdict",
        "block_cache_size": max(memory // 2, memory - 2 * buffer),
        "write_buffer_size": buffer,
        "max_write_buffer_number": 2,
        "max_open_files": _OPEN_FILES,
    }


async def send_rows(app: faust.App, changelog: str, number: int, rows: Changes) -> list[tuple[int, Any]]:
    """Send rows in batches, without a future for each: how many of them and the future of each batch."""
    producer: Any = app.producer
    producer = producer._ensure_producer()
    sent = []
    batch, n = producer.create_batch(), 0
    for row, value in rows.items():
        if batch.append(key=row, value=value, timestamp=None) is None:
            sent.append((n, await producer.send_batch(batch, changelog, partition=number)))
            batch, n = producer.create_batch(), 0
            batch.append(key=row, value=value, timestamp=None)
        n += 1
    if n:
        sent.append((n, await producer.send_batch(batch, changelog, partition=number)))
    return sent
