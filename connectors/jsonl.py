"""Files of social events, one JSON value a line.

Read whole (also `.gz` and standard input), or followed as they grow.
"""

import gzip
import os
import sys
from collections.abc import Iterator
from itertools import islice
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

        A file that does not exist yet gives none. One that was replaced is read to its end before the new one, one
        that was cut from its beginning. Raises `OSError` where it can't be read.
        """
        lines = self._read_on()
        if not lines and self._turn_to_new():
            lines = self._read_on()
        return lines, f"{self._inode}:{self._offset}"

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _read_on(self) -> list[bytes]:
        """Whole lines of the file at hand."""
        lines: list[bytes] = []
        if self._file is not None:
            if os.fstat(self._file.fileno()).st_size < self._offset:
                self._offset = 0
            self._file.seek(self._offset)
            for line in islice(_split(self._file), _LINES):
                if not line.endswith(b"\n") and len(line) < _MAX_LINE:
                    break  # still being written
                self._offset += len(line)
                lines.append(line)
        return lines

    def _turn_to_new(self) -> bool:
        """Open the file, unless it is the one at hand; whether there is another."""
        try:
            inode = os.stat(self._path).st_ino
        except FileNotFoundError:
            return False
        if self._file is not None and inode == self._inode:
            return False
        self.close()
        self._file = open(self._path, "rb")  # noqa: SIM115  # closed by close()
        if inode != self._inode:
            self._inode, self._offset = inode, 0
        return True


def lines(path: str) -> Iterator[tuple[bytes, int]]:
    """The lines of a file, each with the bytes of the file read so far; `-` is standard input, `.gz` is unpacked.

    Raises `OSError` where it can't be read, `EOFError` or `zlib.error` where an archive is damaged.
    """
    if path == "-":
        if sys.stdin is None:
            raise OSError("standard input is closed")
        yield from ((line, 0) for line in _split(sys.stdin.buffer))
        return
    with open(path, "rb") as raw:
        file = cast(BinaryIO, gzip.open(raw)) if path.endswith(".gz") else raw  # noqa: SIM115  # `raw` is closed
        for line in _split(file):
            yield line, raw.tell() if raw.seekable() else 0


def _split(file: BinaryIO) -> Iterator[bytes]:
    while line := file.readline(_MAX_LINE):
        yield line
