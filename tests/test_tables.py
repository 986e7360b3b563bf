"""A worker's tables on disk."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

import faust

from streams.table import SUFFIX
from streams.tables import RowsTable

MEMORY = 8 * 2**20


def test_a_table_takes_no_more_memory_than_it_may(tmp_path: Path) -> None:
    """What RocksDB holds of rows that were written and read back stays within the memory of the table, about."""
    app = faust.App("tables", broker="kafka://127.0.0.1:1", datadir=str(tmp_path), store="memory://")
    table = RowsTable(app, "people", 1, memory=MEMORY, deletions_ms=4_000)
    (tmp_path / "v1" / "tables").mkdir(parents=True)
    partition, random, most = table.partition(0), Random(1), 0
    store: Any = table.data
    database = store._db_for_partition(0)
    keys = [b"=%d" % number for number in range(40)]
    for n, key in enumerate(keys):
        for some in range(0, 1_000, 100):
            rows = {key + number.to_bytes(SUFFIX): random.randbytes(1_000) for number in range(some, some + 100)}
            partition.write(rows, n)
        for known in keys[: n + 1]:
            assert len(partition.rows(known)) == 1_000
        held = ("size-all-mem-tables", "block-cache-usage", "estimate-table-readers-mem")
        most = max(most, sum(database.property_int_value(f"rocksdb.{name}") for name in held))
    assert MEMORY // 2 < most < MEMORY + MEMORY // 4
