"""Exports: files that a network, or anything else, gives to whoever asks, read as a connector's messages.

- A message is a `Row`: what stands in the mapped columns of a record, by field. What nobody mapped is never taken out
  of the file.
- All files of an export are one: their rows come in the order of their time, posts before what is shared of them, since
  an export often begins with the newest and has several files. So files are looked through once before they are read.
- The cursor is the hash of the files and how many rows were read. Other content is another export, which is read from
  its beginning: what it says again has the same id. If the one before was not read to its end, that is a gap.
- A row is whole or refused, with file, row, column and reason; the good rows around it are used.
"""

import hashlib
import threading
from array import array
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from connectors.columns import Columns, ColumnsError, read
from connectors.connector import (
    Check,
    Connector,
    CursorRejected,
    Known,
    Normal,
    NotConnected,
    Option,
    Options,
    Page,
    Refused,
)
from connectors.table_files import Place, TableError, TableFile
from spread.events import Rejected

ROWS: Final = 500
"""Rows of a page."""
_DIGEST_BYTES: Final = 16
FIRST: Final = -1
"""The rank, and the time, of what is no act: it is told before all others."""
LATE: Final = 9
"""The rank of what needs others' acts, whenever they were: it is told at the end."""

FILES: Final = Option("files", "Files of the export, CSV or JSON lines, put there whole.", [], required=True)
MAPPING: Final = Option("mapping", "TOML file that says which column holds what; see docs/imports.md.")


@dataclass(frozen=True)
class Row:
    """What stands in a row, by field, or why it is none. `file` and `number` say where, `columns` what is mapped."""

    network: str
    file: str
    number: int
    fields: Mapping[str, str]
    columns: Columns
    fault: str | None = None

    def rejected(self, field: str | None, why: str) -> Rejected:
        """Why it is refused, with its place; nothing of it is quoted."""
        column = "" if field is None else f"{self.columns.column(field)}: "
        return Rejected("bad row", f"{self.file}:{self.number}: {column}{why}", b"")


class Rank(NamedTuple):
    """Where a row stands in the order of its export: by time (ms), and of one time by rank."""

    at: int
    rank: int


class Export:
    """Files that were looked through; held open, so that another in the place of one does no harm.

    `fields` are read, `rank` says of a row where it comes. `progress` is told bytes as they are looked through. Raises
    `TableError` for a file that is no table, or changes meanwhile, and `ColumnsError` where a mapped column is missing.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        network: str,
        fields: Collection[str],
        columns: Columns,
        *,
        rank: Callable[[Row], Rank],
        progress: Callable[[int], object] = lambda _: None,
    ) -> None:
        self._network, self.fields, self.columns = network, fields, columns
        self._fields: Final = {columns.column(name): name for name in fields}
        self._files: list[TableFile] = []
        self._file, self._offset, self._row, self._at, self._rank = (array("q") for _ in range(5))
        try:
            for path in paths:
                self._files.append(TableFile(path))
            self._require_columns()
            self.digest = self._look_through(rank, progress)
        except BaseException:
            self.close()
            raise
        row, file, rank_, at = map(np.asarray, (self._row, self._file, self._rank, self._at))
        self._order: NDArray[np.int64] = np.lexsort((row, file, rank_, at, rank_ >= LATE))
        self._heard: NDArray[np.int64] = np.maximum.accumulate(at[self._order])

    def __len__(self) -> int:
        return len(self._row)

    def has(self, column: str) -> bool:
        """Whether any file has a column, or may have it in some record."""
        return any(file.columns is None or column in file.columns for file in self._files)

    @property
    def unread(self) -> list[str]:
        """Columns that nobody mapped."""
        named = [name for file in self._files for name in file.columns or ()]
        return list(dict.fromkeys(name for name in named if name and name not in self._fields))

    def rows(self, start: int, most: int = ROWS) -> list[Row]:
        """Rows in their order, from a place on. Raises `TableError` if a file is not any more what it was."""
        for file in self._files:
            if not file.is_as_it_was():
                raise TableError(f"{file.path}: was written into while it was read; put it there whole")
        return [self._read(number) for number in self._order[start : start + most].tolist()]

    def heard(self, read: int) -> int | None:
        """The greatest time (ms) of so many rows in their order; None where none has any."""
        return int(self._heard[read - 1]) if read and self._heard[read - 1] >= 0 else None

    def is_there(self) -> bool:
        """Whether its files are still those at their places."""
        return all([file.is_there() for file in self._files])

    def close(self) -> None:
        """Close the files."""
        for file in self._files:
            file.close()

    def _require_columns(self) -> None:
        if any(file.columns is None for file in self._files):
            return
        there = {name for file in self._files for name in file.columns or ()}
        for name, column in self.columns.of.items():
            if column not in there:
                raise ColumnsError(f"no column {column!r} for {name}; there are {', '.join(sorted(there))}")

    def _look_through(self, rank: Callable[[Row], Rank], progress: Callable[[int], object]) -> str:
        columns = self.columns
        digest = hashlib.blake2b(repr((columns.of, columns.kinds, columns.zone, columns.date_format)).encode())
        for number, file in enumerate(self._files):
            digest.update(f"\n{file.nbytes()}\n".encode())
            for place in file.places(digest.update):
                self._file.append(number)
                self._offset.append(place.offset)
                self._row.append(place.row)
            if not file.is_as_it_was():
                raise TableError(f"{file.path}: is being written")
        done = 0
        for number in range(len(self)):
            found = rank(self._read(number))
            self._at.append(found.at)
            self._rank.append(found.rank)
            if number % ROWS == 0:
                progress(self._offset[number] + done)
            if number + 1 < len(self) and self._file[number + 1] != self._file[number]:
                done += self._files[self._file[number]].nbytes()
        progress(sum(file.nbytes() for file in self._files))
        return digest.hexdigest()[: 2 * _DIGEST_BYTES]

    def _read(self, number: int) -> Row:
        file, place = self._files[self._file[number]], Place(self._offset[number], self._row[number])
        try:
            cells = file.cells(place, self._fields)
        except ValueError as error:
            return Row(self._network, str(file.path), place.row, {}, self.columns, str(error))
        fields = {self._fields[column]: text for column, text in cells.items()}
        return Row(self._network, str(file.path), place.row, fields, self.columns)


class ExportConnector(Connector):
    """A connector of the files that its option names. They are looked for again as long as it runs."""

    fields: ClassVar[tuple[str, ...]]

    def __init__(self, options: Options, known: Known) -> None:
        super().__init__(options, known)
        self._export: Export | None = None
        self._read, self._is_told = 0, False
        self._closed = threading.Event()

    @classmethod
    def rank(cls, row: Row) -> Rank:
        """Where a row stands in the order; what is refused comes first."""
        raise NotImplementedError

    def connect(self, cursor: str | None) -> None:
        """Look the files through, and go on where the cursor says."""
        self.close()
        self._closed.clear()
        self._export = self._opened()
        self._read, self._is_told = 0, cursor is not None
        if cursor is None:
            return
        digest, read, of = _parsed(cursor)
        if digest == self._export.digest:
            self._read = read
        elif read != of:
            raise CursorRejected("another export is there, and the one before was not read to its end")

    def read(self, timeout_s: float) -> Page | None:
        """The next rows; where there are none, those of other files that have come in the place of these."""
        assert self._export is not None
        try:
            if self._is_told and self._read == len(self._export) and not self._export.is_there():
                self.connect(f"{self._export.digest} {self._read} {self._read}")
            if not self._is_told or self._read < len(self._export):
                return self._page()
        except TableError as error:
            raise NotConnected(str(error)) from None
        self._closed.wait(timeout_s)
        return None

    def close(self) -> None:
        """Close the files."""
        self._closed.set()
        if self._export is not None:
            self._export.close()
            self._export = None

    def check(self) -> Check:
        """What stands in the files, and what is wrong with them."""
        export = self._opened()
        try:
            sees, wrong = 0, []
            for start in range(0, len(export), ROWS):
                for normal in [one for row in export.rows(start) for one in self.normalise(row)]:
                    if isinstance(normal, Rejected):
                        wrong.append(normal.detail)
                    else:
                        sees += 1
            unread = [f"column {name}, which nobody mapped" for name in export.unread]
        except TableError as error:
            raise NotConnected(str(error)) from None
        finally:
            export.close()
        more = [f"{len(wrong) - 10:,} more bad rows"] if len(wrong) > 10 else []
        return Check((f"{sees:,} rows of {', '.join(self.options.texts('files'))}",), (*wrong[:10], *more, *unread))

    def _page(self) -> Page:
        assert self._export is not None
        start, first = self._read, not self._is_told
        rows: list[Any] = [] if first else self._export.rows(start)
        self._read, self._is_told = start + len(rows), True
        cursor = f"{self._export.digest} {self._read} {len(self._export)}"
        return Page(rows, cursor, self._export.heard(self._read), "import")

    def _opened(self) -> Export:
        paths = [Path(file) for file in self.options.texts("files")]
        mapping = self.options.text("mapping")
        try:
            columns = read(self.fields, Path(mapping) if mapping else None)
            return Export(paths, self.declared.network, self.fields, columns, rank=self.rank)
        except ColumnsError as error:
            raise Refused(str(error)) from None
        except TableError as error:
            raise NotConnected(str(error)) from None


def _parsed(cursor: str) -> tuple[str, int, int]:
    try:
        digest, read, of = cursor.split()
        return digest, int(read), int(of)
    except ValueError:
        raise CursorRejected("the cursor is not that of an export") from None


def fault(row: Row) -> Sequence[Normal]:
    """What becomes of a row that is none."""
    return [row.rejected(None, row.fault or "")]
