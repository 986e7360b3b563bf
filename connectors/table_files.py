"""Tables in files, CSV or JSON lines, as anything exports them: record by record, each found again by its place.

A record is what a spreadsheet shows as a row: the first line of a CSV file, with the names of the columns, is row 1,
and a cell may have line breaks in it. Of a record only the columns that are asked for are taken out. What is no record
is a fault with its row, and reading goes on with the next line.
"""

import csv
import json
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO, Final, NamedTuple

_LONGEST: Final = 16 * 1024 * 1024
"""Bytes of a line; a longer one is no record."""
_SEPARATORS: Final = ",;\t"
CSV: Final = (".csv", ".tsv", ".txt")
JSONL: Final = (".jsonl", ".ndjson")


class TableError(Exception):
    """A file can't be read as a table. One line."""


class Place(NamedTuple):
    """Where a record is: the offset of its first byte, and its row."""

    offset: int
    row: int


Cells = Mapping[str, str]
"""What stands in the columns that were asked for; one without anything is left out."""


class TableFile:
    """An open file. Its type follows from its name. Raises `TableError` where it can't be read, or has no columns."""

    def __init__(self, path: Path) -> None:
        self.path = path
        suffix = path.suffix.lower()
        if suffix not in (*CSV, *JSONL):
            raise TableError(f"{path}: neither CSV ({', '.join(CSV)}) nor JSON lines ({', '.join(JSONL)})")
        try:
            self._file: BinaryIO = open(path, "rb")  # noqa: SIM115  # closed by close()
        except OSError as error:
            raise TableError(f"{path}: {error.strerror or error}") from None
        self._found = self._stat()
        self.columns: tuple[str, ...] | None = None
        """The names of the columns; None where each record has its own."""
        self._start = Place(0, 1)
        try:
            if suffix in CSV:
                self._head()
        except BaseException:
            self._file.close()
            raise

    def places(self, on_bytes: Callable[[bytes], object] = lambda _: None) -> Iterator[Place]:
        """Where the records are, in their order. `on_bytes` is told all bytes of the file, in their order."""
        self._file.seek(0)
        on_bytes(self._file.read(self._start.offset))
        offset, row = self._start
        while True:
            self._file.seek(offset)
            end = self._end(self._file)
            if end == offset:
                return
            self._file.seek(offset)
            content = self._file.read(end - offset)
            on_bytes(content)
            if content.strip():
                yield Place(offset, row)
            offset, row = end, row + 1

    def cells(self, place: Place, wanted: Collection[str]) -> Cells:
        """What stands in some columns of a record. Raises `ValueError`, which quotes nothing, for what is none."""
        self._file.seek(place.offset)
        return self._csv_cells(wanted) if self.columns is not None else self._json_cells(wanted)

    def is_as_it_was(self) -> bool:
        """Whether nobody has written into the file since it was opened; another in its place does not matter."""
        return self._stat() == self._found

    def is_there(self) -> bool:
        """Whether the file at the path is the one that was opened. Raises `TableError` where there is none."""
        try:
            found = os.stat(self.path)
        except OSError as error:
            raise TableError(f"{self.path}: {error.strerror or error}") from None
        return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns) == self._found

    def nbytes(self) -> int:
        """Bytes of the file."""
        return self._found[2]

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _stat(self) -> tuple[int, int, int, int]:
        found = os.fstat(self._file.fileno())
        return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns

    def _head(self) -> None:
        """Read the names of the columns, in the first line that has any."""
        row, line = 0, b""
        while not line.strip():
            row, line = row + 1, self._file.readline(_LONGEST)
            if not line:
                raise TableError(f"{self.path}: no line with the names of the columns")
        if line.startswith((b"\xff\xfe", b"\xfe\xff")):
            raise TableError(f"{self.path}: is UTF-16; save it as UTF-8")
        try:
            head = line.decode("utf-8-sig")
            self._separator = max(_SEPARATORS, key=head.count)
            names = [name.strip() for name in next(csv.reader([head], delimiter=self._separator, strict=True))]
        except (UnicodeDecodeError, csv.Error):
            raise TableError(f"{self.path}:{row}: no names of columns in UTF-8") from None
        for name in names:
            if name and names.count(name) > 1:
                raise TableError(f"{self.path}:{row}: column {name!r} stands twice")
        self.columns = tuple(names)
        self._start = Place(self._file.tell(), row + 1)

    def _end(self, file: BinaryIO) -> int:
        """Where the record ends that begins here. One that does not end is a line."""
        first = file.readline(_LONGEST)
        end = file.tell()
        if self.columns is None or b'"' not in first:  # only a cell between quotes has line breaks in it
            return end
        try:
            self._record(first, file)
        except ValueError:
            return end
        return file.tell()

    def _record(self, first: bytes, file: BinaryIO) -> list[str]:
        lines = chain((first,), iter(lambda: file.readline(_LONGEST), b""))
        try:
            return next(csv.reader((line.decode() for line in lines), delimiter=self._separator, strict=True), [])
        except UnicodeDecodeError:
            raise ValueError("not UTF-8; save the file as UTF-8") from None
        except csv.Error as error:
            raise ValueError(f"not CSV: {error}") from None

    def _csv_cells(self, wanted: Collection[str]) -> Cells:
        assert self.columns is not None
        cells = self._record(self._file.readline(_LONGEST), self._file)
        if len(cells) != len(self.columns):
            separator = "a tab" if self._separator == "\t" else self._separator
            told = f"{len(cells)} cells under {len(self.columns)} columns"
            raise ValueError(f"{told}; a cell with {separator} in it stands between quotes")
        found = zip(self.columns, cells, strict=True)
        return {name: text for name, cell in found if name in wanted and (text := cell.strip())}

    def _json_cells(self, wanted: Collection[str]) -> Cells:
        try:
            record = json.loads(self._file.readline(_LONGEST))
        except (ValueError, RecursionError):
            raise ValueError("not JSON") from None
        if not isinstance(record, dict):
            raise ValueError("no JSON object")
        return taken(record, wanted)


def taken(record: Mapping[str, Any], wanted: Iterable[str]) -> Cells:
    """What stands in some columns of an object of JSON. Raises `ValueError` for what is no text and no number."""
    return {name: text for name in wanted if (text := _text(name, _value(record, name)))}


def _value(record: Any, name: str) -> Any:
    """The value of a column; `author.id` is the `id` of the object `author`."""
    if not isinstance(record, dict):
        return None
    if name in record:
        return record[name]
    first, dot, rest = name.partition(".")
    return _value(record.get(first), rest) if dot else None


def _text(name: str, value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, list) and all(isinstance(one, str | int) for one in value):
        return " ".join(map(str, value)).strip()
    if isinstance(value, dict | list | bool):
        raise ValueError(f"{name}: neither a text nor a number")
    return str(value).strip()
