"""Files of job offers, YAML or CSV, as a person writes them: every fault is told with its line, all at once.

The fields are those of an offer. In YAML the file is a list of mappings; scalars are taken as they are written, so an
id of digits keeps its zeros. In CSV the first line names the columns, between commas or semicolons; links, tags,
accounts and posts stand in one cell with spaces between. A date is a day (`closes` lasts until its end, UTC) or a
moment with its offset.
"""

import csv
import io
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from difflib import get_close_matches
from typing import Any, Final

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from spread.events import DAY_MS, MAX_ID_BYTES
from spread.registry import JobOffer

SUFFIXES: Final = (".yaml", ".yml", ".csv")
_LISTS: Final = ("urls", "tags", "accounts", "posts")
_FIELDS: Final = ("id", "title", "company", "place", "family", *_LISTS, "posted", "closes")
_LONGEST_TEXT: Final = 1_000
_MOST: Final = 50_000_000
"""Bytes of a file."""
_LINK: Final = re.compile(r"https?://[^\s/]+\S*\Z", re.IGNORECASE)
_NAME: Final = re.compile(r"[a-z][a-z0-9_.-]{0,63}:\S+\Z")
_TAG: Final = re.compile(r"#?\w+\Z")
_NULL: Final = "tag:yaml.org,2002:null"

_Cell = tuple[int, str]
"""A line and what stands there."""
_Row = dict[str, list[_Cell]]


class OfferFileError(Exception):
    """Faults of a file of offers, each with its line."""

    def __init__(self, faults: Sequence[str]) -> None:
        super().__init__(faults[0])
        self.faults = list(faults)


def read(path: str) -> list[JobOffer]:
    """The offers of a file, in its order. Raises `OfferFileError` with all that is wrong with it."""
    faults = _Faults(path)
    rows = _csv_rows if path.lower().endswith(".csv") else _yaml_rows
    try:
        text = _text(path)
    except OSError as error:
        raise OfferFileError([f"{path}: {error.strerror or error}"]) from None
    except ValueError as error:
        raise OfferFileError([f"{path}: {error}"]) from None
    offers: dict[str, JobOffer] = {}
    at: dict[str, int] = {}
    before = 0
    for line, row in rows(text, faults):
        offer = _offer(line, row, faults, before)
        if offer is not None:
            if offer.id in offers:
                faults.add(line, f"offer {offer.id} stands in line {at[offer.id]} already")
            offers[offer.id], at[offer.id] = offer, line
        before = len(faults.found)
    if faults.found:
        raise OfferFileError([text for _, text in sorted(faults.found)])
    return list(offers.values())


class _Faults:
    """What is wrong with a file, by line."""

    def __init__(self, path: str) -> None:
        self._path = path
        self.found: list[tuple[int, str]] = []

    def add(self, line: int, what: str) -> None:
        self.found.append((line, f"{self._path}:{line}: {' '.join(what.split())}"))


def _text(path: str) -> str:
    with open(path, "rb") as file:
        content = file.read(_MOST + 1)
    if len(content) > _MOST:
        raise ValueError(f"over {_MOST:,} bytes")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ValueError(f"line {line} is not UTF-8; save the file as UTF-8") from None


def _yaml_rows(text: str, faults: _Faults) -> Iterator[tuple[int, _Row]]:
    try:
        root = YAML(typ="safe", pure=True).compose(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        faults.add(1 if mark is None else mark.line + 1, f"not YAML: {error.problem or error.context}")
        return
    except (YAMLError, RecursionError, ValueError) as error:
        faults.add(1, f"not YAML: {' '.join(str(error).split()) or 'nested too deeply'}")
        return
    if root is None:
        return
    if not isinstance(root, SequenceNode):
        faults.add(_line(root), "a list of offers is expected, each beginning with `- id: `")
        return
    for item in root.value:
        if isinstance(item, MappingNode):
            yield _line(item), _yaml_row(item, faults)
        else:
            faults.add(_line(item), "an offer is a mapping, such as `id: data-42`")


def _yaml_row(item: MappingNode, faults: _Faults) -> _Row:
    row: _Row = {}
    for key, value in item.value:
        name = str(key.value)
        if name in row:
            faults.add(_line(key), f"{name} stands twice")
        values = value.value if isinstance(value, SequenceNode) else [value]
        if isinstance(value, SequenceNode) and name not in _LISTS and name in _FIELDS:
            faults.add(_line(value), f"{name} is one value and no list")
            values = []
        row[name] = []
        for one in values:
            if not isinstance(one, ScalarNode):
                faults.add(_line(one), f"{name} has values within values")
            elif one.tag != _NULL:
                row[name].append((_line(one), str(one.value)))
    return row


def _line(node: Node) -> int:
    return int(node.start_mark.line) + 1


def _csv_rows(text: str, faults: _Faults) -> Iterator[tuple[int, _Row]]:
    head = text.partition("\n")[0]
    reader = csv.reader(
        io.StringIO(text, newline=""), delimiter=";" if head.count(";") > head.count(",") else ",", strict=True
    )
    names: list[str] = []
    line = 0
    try:
        for cells in reader:
            line, next_line = line + 1, reader.line_num
            if not any(cell.strip() for cell in cells):
                pass
            elif not names:
                names = [cell.strip() for cell in cells]
                for name in sorted({name for name in names if names.count(name) > 1}):
                    faults.add(line, f"column {name} stands twice")
            elif len(cells) > len(names):
                faults.add(
                    line, f"{len(cells)} cells under {len(names)} columns; quote a cell that has the separator in it"
                )
            else:
                row = dict(zip(names, cells, strict=False))
                yield line, {name: _cells(name, line, cell) for name, cell in row.items() if name or cell.strip()}
            line = next_line
    except csv.Error as error:
        faults.add(line + 1, f"not CSV: {error}")


def _cells(name: str, line: int, cell: str) -> list[_Cell]:
    parts = cell.split() if name in _LISTS else [cell.strip()]
    return [(line, part) for part in parts if part]


def _offer(line: int, row: Mapping[str, list[_Cell]], faults: _Faults, before: int) -> JobOffer | None:
    """An offer, unless more faults than `before` its row were found in it."""
    for name in row.keys() - set(_FIELDS):
        near = get_close_matches(name, _FIELDS, 1)
        meant = f"did you mean {near[0]}?" if near else f"there are {', '.join(_FIELDS)}"
        faults.add(row[name][0][0] if row[name] else line, f"unknown field {name!r}; {meant}")
    given: dict[str, Any] = {}
    for name, check in _CHECKS.items():
        values = []
        for at, text in row.get(name, ()):
            try:
                values.append(check(name, text))
            except ValueError as error:
                faults.add(at, str(error))
        if name in _LISTS:
            given[name] = tuple(dict.fromkeys(values))
        elif values:
            given[name] = values[0]
    if not row.get("id"):
        faults.add(line, "an offer needs an id")
    elif len(faults.found) == before:
        if given.get("posted", 0) > given.get("closes", given.get("posted", 0)):
            faults.add(row["closes"][0][0], "it closes before it is posted")
        elif not (given.get("title") or given["urls"] or given["posts"] or (given["tags"] and given["accounts"])):
            faults.add(line, "nothing leads to it: give it urls, a title, posts, or tags with accounts")
    return JobOffer(**given) if len(faults.found) == before else None


def _a_text(name: str, text: str) -> str:
    text = " ".join(text.split())
    if len(text) > _LONGEST_TEXT:
        raise ValueError(f"{name} has over {_LONGEST_TEXT:,} characters")
    return text


def _an_id(name: str, text: str) -> str:
    if len(text.encode(errors="replace")) > MAX_ID_BYTES:
        raise ValueError(f"{name} has over {MAX_ID_BYTES} bytes")
    if text != text.strip() or not text.isprintable():
        raise ValueError(f"{name} {text!r} has signs in it that can't be seen")
    return text


def _a_link(name: str, text: str) -> str:
    if not _LINK.match(text):
        raise ValueError(f"{text!r} is no link; it begins with http:// or https://")
    return text


def _a_tag(name: str, text: str) -> str:
    if not _TAG.match(text):
        raise ValueError(f"{text!r} is no hashtag")
    return text.removeprefix("#")


def _a_name(name: str, text: str) -> str:
    if not _NAME.match(text):
        raise ValueError(f"{text!r} in {name} has no network before it, as in x:{text.lstrip('@') or 'acme'}")
    return _an_id(name, text)


def _a_date(name: str, text: str) -> int:
    try:
        if len(text) == len("2026-09-01"):
            start = datetime.combine(date.fromisoformat(text), datetime.min.time(), UTC)
            ms = int(start.timestamp() * 1000)
            return ms + DAY_MS - 1 if name == "closes" else ms
        moment = datetime.fromisoformat(text)
    except (ValueError, OverflowError):
        raise ValueError(f"{name} {text!r} is no date such as 2026-09-01 or 2026-09-01T12:00+02:00") from None
    if moment.tzinfo is None:
        raise ValueError(f"{name} {text!r} needs an offset, such as Z or +02:00")
    return int(moment.timestamp() * 1000)


_CHECKS: Final[dict[str, Callable[[str, str], Any]]] = {
    "id": _an_id,
    "title": _a_text,
    "company": _a_text,
    "place": _a_text,
    "family": _a_text,
    "urls": _a_link,
    "tags": _a_tag,
    "accounts": _a_name,
    "posts": _a_name,
    "posted": _a_date,
    "closes": _a_date,
}
