"""Files of social events, one JSON value a line.

Read whole (also `.gz` and standard input), or followed as they grow.
"""

import gzip
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final, cast

_LINES: Final = 5_000
_MAX_LINE: Final = 16 * 1024 * 1024
"""A line longer than this is cut there: it is no event, and must not fill the memory."""


class JsonlTail:
    """Follows a growing file. The position is its inode and the offset behind the last whole line that was read."""

    def __init__(self, path: Path, position: str | None = None) -> None:
        self.name = f"jsonl:{path.absolute()}"
        self._path = path
        self._inode, self._offset = map(int, position.split(":")) if position else (0, 0)
        self._file: BinaryIO | None = None

    def read(self) -> tuple[list[bytes], str]:
        """Whole lines that have come, at most 5,000, and the position behind them. Never waits.

        A file that does not exist yet gives none; one that was replaced or cut is read from its beginning.
        """
        file = self._open()
        if file is None:
            return [], f"{self._inode}:{self._offset}"
        file.seek(self._offset)
        lines = []
        for line in file:
            if not line.endswith(b"\n"):
                break
            self._offset += len(line)
            lines.append(line)
            if len(lines) == _LINES:
                break
        return lines, f"{self._inode}:{self._offset}"

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _open(self) -> BinaryIO | None:
        try:
            status = os.stat(self._path)
        except FileNotFoundError:
            return self._file
        if self._file is None or status.st_ino != os.fstat(self._file.fileno()).st_ino:
            self.close()
            self._file = open(self._path, "rb")  # noqa: SIM115  # closed by close()
        if status.st_ino != self._inode or status.st_size < self._offset:
            self._inode, self._offset = status.st_ino, 0
        return self._file


def lines(path: str) -> Iterator[tuple[bytes, int]]:
    """The lines of a file, each with the bytes of the file read so far; `-` is standard input, `.gz` is unpacked.

    Raises `OSError` where it can't be read, `EOFError` where an archive ends too early.
    """
    if path == "-":
        yield from ((line, 0) for line in _split(sys.stdin.buffer))
        return
    with open(path, "rb") as raw:
        file = cast(BinaryIO, gzip.open(raw)) if path.endswith(".gz") else raw  # noqa: SIM115  # `raw` is closed
        for line in _split(file):
            yield line, raw.tell()


def _split(file: BinaryIO) -> Iterator[bytes]:
    while line := file.readline(_MAX_LINE):
        yield line
