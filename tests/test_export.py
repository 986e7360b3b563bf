"""`ricochet export`: one offer as a graph in every format, the same in all of them, and without accounts."""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path
from typing import Any

import networkx
import pytest
from hypothesis import given
from pyarrow import parquet

from ricochet import export
from ricochet.errors import RicochetError
from spread.events import Rejected, decode
from streams.embedded import Embedded
from tests.crew import Crew
from tests.crowd import NOON
from tests.processes import ended, good
from tests.test_run import POST, post, share
from tests.worlds import Event, worlds

DELETE = {"v": 1, "id": "x:d", "kind": "delete", "network": "x", "at": NOON + 9, "actor": "x:3", "target": "x:3"}
LINES = [
    post(),
    share(2, followers=7),
    share(3, via="x:2"),
    share(4, via="x:3"),
    share(5, id="x:\u00e9\u0001<&"),
    json.dumps(DELETE).encode() + b"\n",
]
NODES = {"x:1", "x:2", "x:3", "x:4", "x:\u00e9\u0001<&"}
EDGES = {
    ("x:1", "x:2", "assumed"),
    ("x:1", "x:\u00e9\u0001<&", "assumed"),
    ("x:3", "x:4", "declared"),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Give a state with an offer, of which a share was taken back that another came through."""
    (tmp_path / "e").write_bytes(b"".join(LINES))
    good("replay", "e", "--state", "ricochet.state", cwd=tmp_path)
    return tmp_path


def clean(id: str) -> str:
    """Write an id as XML can."""
    return id.replace("\u0001", "\ufffd")


def exported(folder: Path, name: str, *options: str, env: dict[str, str] | None = None) -> str:
    """Export the offer."""
    return good("export", "o", "--out", name, *options, cwd=folder, env=env).out


@pytest.mark.parametrize("suffix", ["gexf", "graphml"])
def test_a_graph_is_read_again(folder: Path, suffix: str) -> None:
    """Nodes and edges are those of the offer, with basis and probability, whatever signs stand in an id."""
    assert exported(folder, f"o.{suffix}") == f"o.{suffix}: 5 nodes, 3 edges\n"
    graph = getattr(networkx, f"read_{suffix}")(folder / f"o.{suffix}")
    names = networkx.get_node_attributes(graph, "label")
    assert {*names.values()} == {clean(id) for id in NODES}
    edges = {(names[one], names[other], told["basis"]) for one, other, told in graph.edges(data=True)}
    assert edges == {(clean(one), clean(other), basis) for one, other, basis in EDGES}
    by_name = {names[number]: told for number, told in graph.nodes(data=True)}
    assert {name: told.get("kind") for name, told in by_name.items() if name in ("x:1", "x:3", "x:4")} == {
        "x:1": "post",
        "x:3": "gone",
        "x:4": "share",
    }
    assert (by_name["x:2"]["followers"], by_name["x:2"]["at"], by_name["x:4"]["depth"]) == (7, NOON + 2, 3)
    assert {told.get("probability") for _, _, told in graph.edges(data=True)} == {1.0, None}


def tables(folder: Path, suffix: str) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Read the nodes and the edges of a table."""
    files = (folder / f"o.nodes.{suffix}", folder / f"o.{suffix}")
    if suffix == "parquet":
        nodes, edges = (parquet.read_table(file).to_pylist() for file in files)  # type: ignore[no-untyped-call]
        return nodes, edges
    with files[0].open(newline="") as one, files[1].open(newline="") as other:
        return [*csv.DictReader(one)], [*csv.DictReader(other)]


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_table_is_read_again(folder: Path, suffix: str) -> None:
    """Edges in one file, nodes beside it; in Parquet with their types."""
    assert exported(folder, f"o.{suffix}").splitlines() == [
        f"o.nodes.{suffix}: 5 nodes, 3 edges",
        f"o.{suffix}: 5 nodes, 3 edges",
    ]
    nodes, edges = tables(folder, suffix)
    assert {node["id"] for node in nodes} == NODES
    assert {(edge["source"], edge["target"], edge["basis"]) for edge in edges} == EDGES
    if suffix == "parquet":
        two = next(node for node in nodes if node["id"] == "x:2")
        assert (two["followers"], round(two["at"].timestamp() * 1000)) == (7, NOON + 2)
        assert {edge["probability"] for edge in edges} == {1.0, None}


@pytest.mark.parametrize("suffix", ["gexf", "graphml", "csv", "parquet"])
def test_no_account_is_exported(tmp_path: Path, suffix: str) -> None:
    """Nobody who acted stands in an export, and nothing of an account that is forgotten."""
    (tmp_path / "e").write_text(
        json.dumps(POST | {"actor": "x:employer"})
        + "\n"
        + json.dumps(POST | {"id": "x:7", "kind": "share", "actor": "x:jeanne"})
        + "\n"
        + json.dumps(POST | {"id": "x:8", "kind": "share", "actor": "x:jean"})
        + "\n"
    )
    good("replay", "e", "--state", "ricochet.state", cwd=tmp_path)
    exported(tmp_path, f"o.{suffix}")
    whole = b"".join(path.read_bytes() for path in tmp_path.glob("o.*"))
    assert b"x:7" in whole
    assert not [name for name in (b"employer", b"jean") if name in whole]
    good("forget", "x:jeanne", cwd=tmp_path)
    exported(tmp_path, f"o.{suffix}")
    assert b"x:7" not in b"".join(path.read_bytes() for path in tmp_path.glob("o.*"))


@given(worlds())
def test_an_export_is_the_report(world: list[Event]) -> None:
    """Its living nodes are as many as the report counts, its edges are the report's, and each ends at a node."""
    with Embedded() as engine:
        found = [event for line in world for event in decode(json.dumps(line).encode())]
        engine.feed([event for event in found if not isinstance(event, Rejected)])
        for id in engine.offers():
            offer = engine.offer(id)
            nodes, edges = export.rows(offer.node_lines(), engine.edge_lines(id))
            living = [node for node in nodes if node["kind"] != export.GONE]
            assert len(living) == offer.line().nodes
            assert max((node["depth"] for node in living), default=0) == offer.line().depth
            names = [node["id"] for node in nodes]
            assert len(names) == len({*names})
            assert {end for edge in edges for end in (edge["source"], edge["target"])} <= {*names}
            assert len(edges) == sum(offer.bases().values()) == len(engine.edge_lines(id))


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("o", "--out", "o.xls"), "o.xls: its name ends with none of .gexf, .graphml, .csv, .parquet"),
        (("nobody", "--out", "o.csv"), "nothing is known of who shared offer nobody"),
        (("o", "--out", "none/o.csv"), "none/o.csv: No such file or directory"),
        (("o", "--out", "none/o.gexf"), "none/o.gexf: No such file or directory"),
        (("o", "--out", "o.csv", "--state", "none"), "none: no such state file"),
        (("o",), "Missing option '--out'"),
    ],
)
def test_what_can_not_be_exported_is_one_line(folder: Path, args: tuple[str, ...], said: str) -> None:
    """A format that there is not, an unknown offer, a folder that is not there: a line."""
    assert said in ended("export", *args, cwd=folder).complaint()


def test_without_pyarrow_parquet_says_what_it_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Parquet is an extra: where it is not installed, a line says how to have it."""
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(RicochetError, match=r"pip install 'ricochet\[parquet\]'"):
        export.write(tmp_path / "o.parquet", [], [])


def test_workers_are_asked(hands: Crew, folder: Path) -> None:
    """With Kafka the offer's worker gives the same as a state file does."""
    exported(folder, "o.csv")
    wanted = tables(folder, "csv")
    hands.ready(hands.start())
    hands.send(LINES)
    hands.caught_up()
    assert "5 nodes, 3 edges" in exported(folder, "o.csv", "--to", "kafka", env=hands.env)
    given = tables(folder, "csv")
    assert [sorted(table, key=str) for table in given] == [sorted(table, key=str) for table in wanted]
    complaint = ended("export", "nobody", "--out", "o.csv", "--to", "kafka", cwd=folder, env=hands.env).complaint()
    assert "nothing is known of who shared offer nobody" in complaint
