"""Published cascades through `ricochet replay`, against the figures that other programs found for them."""

from __future__ import annotations

import gzip
import json
import random
from pathlib import Path
from typing import Any, Final

import pytest

from spread.tree import Forest
from tests.crew import crew
from tests.processes import good
from tests.real_cascades import SETS, badly_delivered, figures, needed, reconstructed, well_delivered, write

VIRALITY: Final = 1e-6
"""How far the structural virality of a cascade may be off."""
KNOWN_REACH: Final = 0.02
"""How far known reach may be off, in parts of it."""

Line = dict[str, Any]


@pytest.fixture(scope="module")
def data() -> Path:
    """Give the folder of the data."""
    return needed()


Reports = dict[str, tuple[bytes, Line]]


@pytest.fixture(scope="module")
def reports() -> Reports:
    """Keep the ordered report of each set for the disordered one."""
    return {}


def replayed(events: Path) -> tuple[bytes, Line]:
    """Replay a file and give the cascade and offer lines of the report as they are, and the input line."""
    report = events.with_suffix(".report")
    good("replay", events, "--report", report, cwd=events.parent, hang_s=900)
    content = report.read_bytes()
    events.unlink()
    report.unlink()
    place = content.rindex(b"\n", 0, -1) + 1
    return content[:place], json.loads(content[place:])


def in_order(name: str, data: Path, tmp_path: Path, reports: Reports) -> tuple[bytes, Line]:
    """Give the report of a set as it is."""
    if name not in reports:
        n = write(well_delivered(SETS[name](data / figures(data)[name]["file"])), tmp_path / "events")
        reports[name] = replayed(tmp_path / "events")
        assert reports[name][1] == {"type": "input", "events": n, "rejected": 0, "duplicates": 0, "gaps": 0}
    return reports[name]


@pytest.mark.parametrize("name", SETS)
def test_a_replay_gives_the_published_figures(name: str, data: Path, tmp_path: Path, reports: Reports) -> None:
    """Counts, depths, breadths and exposure are exact, virality to six places, known reach within two per cent."""
    want = figures(data)[name]
    lines = [json.loads(line) for line in in_order(name, data, tmp_path, reports)[0].splitlines()]
    cascades = [line for line in lines if line["type"] == "cascade"]
    assert len(cascades) == want["cascades"]
    for field in ("nodes", "depth", "max_breadth", "participants"):
        if field in want:
            assert sum(cascade[field] for cascade in cascades) == want[field], field
    if "structural_virality" in want:
        virality = sum(cascade["structural_virality"] for cascade in cascades)
        assert abs(virality - want["structural_virality"]) < VIRALITY * len(cascades)
    if "exposure" in want:
        exposure = [sum(cascade["exposure"][by] for cascade in cascades) for by in ("root", "others", "none")]
        assert exposure == want["exposure"]
        known = sum(cascade["reach"]["known"] for cascade in cascades)
        assert abs(known / want["known"] - 1) < KNOWN_REACH
        for cascade in cascades:
            reach = cascade["reach"]
            assert None not in reach.values() and reach["low"] <= reach["estimate"] <= reach["high"], cascade["root"]
            assert reach["known"] <= reach["high"], cascade["root"]
    if name == "weibo":
        _compare_each(cascades, data / want["file"].replace(".jsonl.gz", "_expected.jsonl.gz"))


def _compare_each(cascades: list[Line], path: Path) -> None:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        expected = {f"weibo:{tree['id']}": tree for tree in map(json.loads, file)}
    assert {cascade["root"] for cascade in cascades} == expected.keys()
    for cascade in cascades:
        tree = expected[cascade["root"]]
        shape = (cascade["nodes"], cascade["depth"], cascade["max_breadth"])
        assert shape == (tree["n"], tree["depth"], tree["max_breadth"]), cascade["root"]
        assert abs(cascade["structural_virality"] - tree["sv"]) <= VIRALITY, cascade["root"]


@pytest.mark.parametrize("name", SETS)
def test_bad_delivery_changes_nothing(name: str, data: Path, tmp_path: Path, reports: Reports) -> None:
    """Delivered up to a minute late, five in a hundred twice, a set gives the same report, byte for byte."""
    path = data / figures(data)[name]["file"]
    expected, line = in_order(name, data, tmp_path, reports)
    n = write(badly_delivered(SETS[name](path), seed=1), tmp_path / "events")
    report, counted = replayed(tmp_path / "events")
    assert counted == line | {"events": n, "duplicates": n - line["events"]}
    assert n > line["events"]
    assert report == expected


@pytest.mark.parametrize("name", ["pheme", "weibo", "trees"])
def test_workers_on_kafka_give_the_same(
    name: str, data: Path, tmp_path: Path, reports: Reports, kafka: str, prefix: str
) -> None:
    """A set, badly delivered, through Kafka and two workers gives the same report, byte for byte."""
    expected, _ = in_order(name, data, tmp_path, reports)
    write(badly_delivered(SETS[name](data / figures(data)[name]["file"]), seed=2), tmp_path / "events")
    with crew(kafka, prefix, tmp_path) as hands:
        hands.start(), hands.start()
        hands.command("replay", tmp_path / "events", "--to", "kafka", "--report", "report", hang_s=900)
    content = (tmp_path / "report").read_bytes()
    assert content[: content.rindex(b"\n", 0, -1) + 1] == expected


@pytest.mark.parametrize("seed", range(3))
def test_generations_are_depths(data: Path, seed: int) -> None:
    """In trees that were rebuilt from followers, the generation of each account is its depth in our tree.

    Grown node by node in a random order, each child below its own parent only later, with a move.
    """
    rng = random.Random(seed)
    trees = reconstructed(data / "marref_young_trees.csv.gz")
    assert len(trees) > 5_000
    for nodes in trees.values():
        rng.shuffle(nodes)
        forest, number = Forest(), {1: 0}
        forest.extend()
        forest.plant(0)
        forest.set_weight(0, 1, 0)
        waiting: dict[int, list[int]] = {}
        for child, parent, _ in nodes:
            number[child] = own = len(number)
            forest.extend()
            forest.attach(own, number.get(parent, 0), 0)
            forest.set_weight(own, 1, 0)
            if parent not in number:
                waiting.setdefault(parent, []).append(own)
            for early in waiting.pop(child, []):
                forest.move(early, own, 0)
        generations = [generation for _, _, generation in nodes]
        assert [forest.depth[number[child]] for child, _, _ in nodes] == generations
        shape = forest.shapes[0]
        assert shape.depth == max(generations)
        assert shape.breadths[: shape.depth + 1] == [1, *map(generations.count, range(1, shape.depth + 1))]
