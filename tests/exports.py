"""Exports in small: files that grow as somebody saves them again, and are away for a while."""

from __future__ import annotations

import csv
import io
import tempfile
import time
from collections.abc import Sequence
from hashlib import blake2b
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Self

from tests.rehearsals import URL, Rehearsal

SECRET = "geheim-geheim-geheim"
MAPPING = """
zone = "Europe/Paris"
[columns]
id = "Ref"
kind = "Type"
at = "Date"
actor = "Membre"
of = "Publication"
text = "Texte"
[kinds]
Publication = "post"
Partage = "share"
"""


class ExportRehearsal(Rehearsal):
    """A CSV file in a folder of its own."""

    limits = False
    columns: ClassVar[Sequence[str]]

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[Sequence[Any]] = []

    def __enter__(self) -> Self:
        self._folder = tempfile.TemporaryDirectory()
        self.file = Path(self._folder.name) / "export.csv"
        mapping = self.file.with_name("mapping.toml")
        mapping.write_text(self.mapping())
        self.options = {"files": [str(self.file)], "mapping": str(mapping)}
        self.save()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._folder.cleanup()

    def mapping(self) -> str:
        """Say what stands in which column."""
        return MAPPING

    def save(self) -> None:
        """Put the whole file there, the newest rows first, in the place of the one before."""
        text = io.StringIO()
        csv.writer(text, delimiter=";").writerows([self.columns, *reversed(self.rows)])
        beside = self.file.with_suffix(".new")
        beside.write_text(text.getvalue())
        beside.replace(self.file)

    def cut(self) -> None:
        """Take the file away, until it is saved again."""
        self.file.unlink()

    def limit(self, seconds: int) -> None:
        """Say that there is no limit."""
        raise AssertionError("a file has no rate limit")

    @property
    def stale_cursor(self) -> str:
        """Give a place in a file that was there before, in the middle of it."""
        return "0123456789abcdef 3 7"

    def garble(self) -> None:
        """Add rows that have somebody's name wherever something else should stand, and save the file."""
        self.names.add("Garbled")
        good = ["g1", "Partage", "1790000000000", "membre1", "Jeanne", "p1"][: len(self.columns)]
        self.rows += [[*good[:place], "Garbled", *good[place + 1 :]] for place in range(len(good))]
        self.rows.append(["Garbled"] * (len(self.columns) + 1))
        self.save()


class OutcomesRehearsal(ExportRehearsal):
    """Applications as an applicant tracking system exports them, candidates and all."""

    columns = ("Number", "Stage", "Date", "Link", "Candidate", "E-mail")

    def __enter__(self) -> Self:
        super().__enter__()
        self.options["secret"] = SECRET
        return self

    def mapping(self) -> str:
        """Say what stands in which column."""
        columns = {"id": "Number", "stage": "Stage", "at": "Date", "url": "Link"}
        return "[columns]\n" + "".join(f'{field} = "{column}"\n' for field, column in columns.items())

    def spread(self, shares: int) -> None:
        """Add so many applications, at first one more, and save the file."""
        for _ in range(shares if self.acts else shares + 1):
            n = f"a{len(self.acts)}"
            candidate, address = f"Jane Doe {n}", f"{n}@mail.example"
            self.rows.append((n, "application", time.time_ns() // 1_000_000, URL, candidate, address))
            self.acts.append(f"outcomes:row-{blake2b(f'id={n}'.encode(), digest_size=16).hexdigest()}")
            self.names |= {candidate, address, self.acts[-1]}
        self.save()


class ViadeoRehearsal(ExportRehearsal):
    """What a member kept of Viadeo."""

    columns = ("Ref", "Type", "Date", "Membre", "Nom complet", "Publication", "Texte")

    def spread(self, shares: int) -> None:
        """Add a post, then shares of it, and save the file."""
        first = not self.acts
        if first:
            self.rows.append(("p1", "Publication", self._now(), "acme", "Acme", "", f"On recrute\n« ici » : {URL}"))
            self.acts.append("viadeo:p1")
        for _ in range(shares):
            n = len(self.acts)
            self.rows.append((f"s{n}", "Partage", self._now(), f"membre{n}", f"Jeanne Dupont {n}", "p1", ""))
            self.acts.append(f"viadeo:s{n}")
            self.names |= {f"membre{n}", f"Jeanne Dupont {n}"}
        self.save()

    def _now(self) -> str:
        return str(time.time_ns() // 1_000_000)
