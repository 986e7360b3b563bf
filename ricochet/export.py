"""An offer's cascades as a graph for other programs: GEXF, GraphML, CSV, Parquet.

An edge leads from a node to one that had it from there, with its basis. A node that was deleted, or never seen, and
through which others had it is there as `gone`, with nothing but its id. No account and no name is in an export.
"""

import csv
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final

import msgspec

from ricochet.errors import RicochetError
from spread.report import EdgeLine, NodeLine

GONE: Final = "gone"
_NODE: Final = ("id", "root", "kind", "network", "at", "depth", "followers")
_EDGE: Final = ("source", "target", "root", "basis", "probability")
_NOT_OF_XML: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

Rows = list[dict[str, Any]]


def rows(node_lines: Iterable[bytes], edge_lines: Iterable[bytes]) -> tuple[Rows, Rows]:
    """Nodes and edges of the lines that an engine gives, as rows with the columns that every format has."""
    edges = [msgspec.json.decode(line, type=EdgeLine) for line in edge_lines]
    nodes = [msgspec.to_builtins(msgspec.json.decode(line, type=NodeLine)) for line in node_lines]
    there = {node["id"] for node in nodes}
    gone = {edge.parent: edge.root for edge in edges if edge.parent not in there}
    nodes += [dict.fromkeys(_NODE) | {"id": id, "root": root, "kind": GONE} for id, root in sorted(gone.items())]
    return nodes, [
        {"source": e.parent, "target": e.child, "root": e.root, "basis": e.basis, "probability": e.probability}
        for e in edges
    ]


def write(to: Path, nodes: Rows, edges: Rows) -> list[Path]:
    """Write a file of the format that its name ends with; what was written. Tables are two files.

    Raises `RicochetError` where it can't be written, or is of no format that there is.
    """
    if to.suffix.lower() not in FORMATS:
        raise RicochetError(f"{to}: its name ends with none of {', '.join(FORMATS)}")
    try:
        return FORMATS[to.suffix.lower()](to, nodes, edges)
    except OSError as error:
        raise RicochetError(f"{to}: {error.strerror or error}") from None


def _graph(nodes: Rows, edges: Rows) -> Any:
    """A graph whose nodes are numbers: an id may have signs in it that XML has not."""
    import networkx  # noqa: PLC0415  # it takes a while, and other commands do without

    graph = networkx.DiGraph()
    numbers = {}
    for number, node in enumerate(nodes):
        numbers[node["id"]] = number
        graph.add_node(number, label=_plain(node["id"]), **_told(node, "id"))
    for edge in edges:
        graph.add_edge(numbers[edge["source"]], numbers[edge["target"]], **_told(edge, "source", "target"))
    return graph


def _told(row: dict[str, Any], *without: str) -> dict[str, Any]:
    """What is known of a row, as XML can have it."""
    return {
        name: _plain(value) if isinstance(value, str) else value
        for name, value in row.items()
        if value is not None and name not in without
    }


def _plain(text: str) -> str:
    return _NOT_OF_XML.sub("\ufffd", text)


def _gexf(to: Path, nodes: Rows, edges: Rows) -> list[Path]:
    import networkx  # noqa: PLC0415

    networkx.write_gexf(_graph(nodes, edges), to)
    return [to]


def _graphml(to: Path, nodes: Rows, edges: Rows) -> list[Path]:
    import networkx  # noqa: PLC0415

    networkx.write_graphml(_graph(nodes, edges), to)
    return [to]


def _two(to: Path) -> tuple[Path, Path]:
    """The file of the nodes, beside that of the edges."""
    return to.with_name(f"{to.stem}.nodes{to.suffix}"), to


def _csv(to: Path, nodes: Rows, edges: Rows) -> list[Path]:
    files = _two(to)
    for path, columns, table in zip(files, (_NODE, _EDGE), (nodes, edges), strict=True):
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, columns)
            writer.writeheader()
            writer.writerows(table)
    return [*files]


def _parquet(to: Path, nodes: Rows, edges: Rows) -> list[Path]:
    try:
        import pyarrow  # noqa: PLC0415
        from pyarrow import parquet  # noqa: PLC0415
    except ImportError:
        raise RicochetError("Parquet needs pyarrow: pip install 'ricochet[parquet]'") from None
    whole, number = pyarrow.int64(), pyarrow.float64()
    types = {"at": pyarrow.timestamp("ms", tz="UTC"), "depth": whole, "followers": whole, "probability": number}
    files = _two(to)
    for path, columns, table in zip(files, (_NODE, _EDGE), (nodes, edges), strict=True):
        schema = pyarrow.schema([(name, types.get(name, pyarrow.string())) for name in columns])
        parquet.write_table(pyarrow.Table.from_pylist(table, schema), path)  # type: ignore[no-untyped-call]  # it has none
    return [*files]


FORMATS: Final[dict[str, Callable[[Path, Rows, Rows], list[Path]]]] = {
    ".gexf": _gexf,
    ".graphml": _graphml,
    ".csv": _csv,
    ".parquet": _parquet,
}
