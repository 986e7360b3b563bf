"""The life of workers: places, readiness, rebalances, who answers for what, upgrades."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from contextlib import closing
from pathlib import Path

from kafka.admin import MemberToRemove
from prometheus_client import generate_latest

from ricochet import metrics
from ricochet.view import View
from ricochet.worker import FENCED
from spread import facts
from streams.embedded import Embedded
from streams.topics import SPREAD
from tests.broker import admin, free_ports
from tests.crew import PARTITIONS, Crew, assert_same, embedded, offers_of, read_all
from tests.crowd import crowd
from tests.drive import decoded
from tests.processes import Child, Samples, ended, samples, until

ROOT = Path(__file__).parents[1]
Sample = tuple[str, frozenset[tuple[str, str]]]


def summed(hands: Crew) -> Samples:
    """Sum the gauges of offers over all workers; no offer may be told by two of them."""
    found: dict[Sample, float] = {}
    offers: set[str] = set()
    for child in hands.hands:
        mine = gauges_of_offers(child.samples())
        told = {dict(labels)["offer"] for _, labels in mine if "offer" in dict(labels)}
        assert not told & offers, "an offer on two workers"
        offers |= told
        for sample, n in mine.items():
            found[sample] = found.get(sample, 0) + n
    return found


def gauges_of_offers(samples: Samples) -> Samples:
    """Give the gauges that tell of offers, of one or of all of them."""
    names = {name for name in metrics.names() if name.startswith(("ricochet_offer", "ricochet_network_"))}
    return {(name, labels): n for (name, labels), n in samples.items() if name in names | {"ricochet_state_nodes"}}


def as_embedded(lines: list[bytes]) -> Samples:
    """Give what the embedded engine tells of its offers in metrics."""
    with closing(Embedded()) as engine:
        engine.feed(decoded(map(json.loads, lines)))
        return gauges_of_offers(samples(generate_latest(metrics.registry(View(engine), 50)).decode()))


def as_reported(report: bytes) -> Samples:
    """Give what a report says of offers as the gauges that tell the same."""
    found: Counter[Sample] = Counter()
    largest: dict[str, tuple[int, float]] = {}

    def add(name: str, n: float | None, **labels: str) -> None:
        if n is not None:
            found[f"ricochet_{name}", frozenset(labels.items())] += n  # type: ignore[assignment]

    for line in map(json.loads, report.splitlines()):
        offer = line["offer"]
        if line["type"] == "cascade":
            largest[offer] = max(largest.get(offer, (0, 0.0)), (line["nodes"], line["structural_virality"]))
            for basis, n in line["edges"].items():
                add("offer_edges", n, offer=offer, basis=basis)
                add("network_edges", n, network=line["network"], basis=basis)
            continue
        for name in ("cascades", "replies", "depth", "max_breadth"):
            add(f"offer_{name}", line[name], offer=offer)
        for network, there in line["networks"].items():
            for name, n in there.items():
                add(f"offer_{name}", n, offer=offer, network=network)
        for bound, n in line["reach"].items():
            add("offer_reach_accounts", n, offer=offer, bound=bound)
        add("offer_structural_virality", largest[offer][1], offer=offer)
    return dict(found)


def partitions(child: Child) -> float:
    """Count the partitions of offers that a worker has."""
    return of_stage(child.samples(), "ricochet_worker_partitions", "offers")


def of_stage(samples: Samples, name: str, stage: str) -> float:
    """Read a metric of one stage."""
    return samples.get((name, frozenset({("stage", stage)})), 0.0)


def test_metrics_sum_up_over_workers_and_nothing_stale_stays(hands: Crew, tmp_path: Path) -> None:
    """As workers join, go and are killed, each offer is told by one alone, and all gauges say what the report says."""
    lines = crowd(11, 6_000)
    first = hands.start()
    hands.send(lines)
    hands.caught_up()
    wanted, reported = as_embedded(lines), as_reported(embedded(lines, tmp_path)[0])
    assert len({name for name, _ in reported}) == 10
    assert reported.items() <= wanted.items()

    def sums_are_right(*has: tuple[Child, int]) -> None:
        until(lambda: all(partitions(child) == n for child, n in has), "partitions given out", every_s=0.2)
        until(lambda: summed(hands) == wanted, "the sums to be right", every_s=0.2)

    sums_are_right((first, 4))
    assert all(
        of_stage(first.samples(), "ricochet_worker_topic_partitions", stage) == 4 for stage in ("people", "offers")
    )
    second = hands.start()
    sums_are_right((first, 2), (second, 2))
    hands.stop(first)
    sums_are_right((second, 4))
    third = hands.start()
    sums_are_right((second, 2), (third, 2))
    hands.kill(second)
    sums_are_right((third, 4))


def test_any_worker_leads_to_the_owner(hands: Crew) -> None:
    """A worker answers for its own offers, and sends the question about others to the worker that has them."""
    lines = crowd(12, 2_000)
    first, second = hands.start(), hands.start()
    until(lambda: partitions(first) == partitions(second) == 2, "both have partitions", every_s=0.2)
    hands.send(lines)
    hands.caught_up()
    here = 0
    for offer in offers_of(lines):
        answers = [child.offer(offer) for child in (first, second)]
        own = [child for child, answer in zip((first, second), answers, strict=True) if answer.status_code == 200]
        sent_on = [answer for answer in answers if answer.status_code == 307]
        assert len(own) == len(sent_on) == 1
        assert sent_on[0].headers["location"].startswith(own[0].base + "/offers/")
        here += own[0] is first
    assert 0 < here < len(offers_of(lines))
    listed = [{one["offer"] for one in child.get("/offers").json()} for child in (first, second)]
    assert listed[0] | listed[1] == set(offers_of(lines))
    assert not listed[0] & listed[1]


def test_snapshots_tell_of_every_offer_and_where_its_worker_is(hands: Crew, tmp_path: Path) -> None:
    """The topic `spread` has, for each offer, its report line and the address of the worker that has it now."""
    lines = crowd(13, 2_000)
    first = hands.start()
    hands.send(lines)
    hands.caught_up()
    offers = offers_of(lines)
    report = [json.loads(line) for line in embedded(lines, tmp_path)[0].splitlines()]
    wanted = {line["offer"]: line for line in report if line["type"] == "offer"}

    def latest() -> dict[str, dict[str, object]]:
        return {one["line"]["offer"]: one for one in read_all(hands, SPREAD, len(offers))}

    until(lambda: {id: one["line"] for id, one in latest().items()} == wanted, "all are told", every_s=0.5)
    assert {one["worker"] for one in latest().values()} == {first.base}
    assert all(len(one["history"]["counts"]) <= 288 for one in latest().values())  # type: ignore[index]
    hands.stop(first)
    second = hands.start()
    until(lambda: {one["worker"] for one in latest().values()} == {second.base}, "all have moved", every_s=0.5)


def test_a_place_is_one_workers_alone(hands: Crew) -> None:
    """A second worker takes the next place; one that asks for a taken place by name is refused in a line."""
    first, second = hands.start(), hands.start()
    assert [json.loads(child.said[-1])["place"] for child in (first, second)] == ["1", "2"]
    refused = ended("worker", "--port", "0", "--name", "1", cwd=hands.folder, env=hands.env)
    assert "place 1 is taken" in refused.complaint()


def test_a_place_that_comes_back_at_another_address_works(hands: Crew, tmp_path: Path) -> None:
    """A worker killed and started again in its place, at another port, is ready, knows all, and others find it."""
    lines = crowd(15, 3_000)
    first, second = hands.start(), hands.start()
    hands.send(lines)
    hands.caught_up()
    hands.kill(first)
    again = hands.start()
    assert again.base != first.base
    hands.ready(again)
    hands.ready(second)
    until(lambda: partitions(again) == partitions(second) == 2, "both have partitions", every_s=0.2)
    assert_same(hands.report(offers_of(lines)), embedded(lines, tmp_path))


def test_a_fenced_worker_comes_back_where_it_was(hands: Crew, tmp_path: Path) -> None:
    """Put out of its group a worker ends with code 75; the same command has its port, folder and tables again."""
    lines = crowd(18, 2_000)
    hands.env["RICOCHET_WORKER_PORT"] = str(free_ports(1)[0])
    first = hands.start("north", port=None)
    hands.send(lines)
    hands.caught_up()
    tables = identities(hands)
    assert len(tables) == 2 * PARTITIONS
    group = hands.env["RICOCHET_TOPIC_PREFIX"] + "ricochet"
    with admin(hands.env["RICOCHET_KAFKA"]) as kafka:
        (member,) = kafka.describe_groups([group])[group]["members"]
        kafka.remove_group_members(group, [MemberToRemove(group_instance_id=member["group_instance_id"])])
    assert first.ends() == FENCED, first.said
    assert any('"event": "fenced"' in line for line in first.said)
    hands.gone(first)
    again = hands.start("north", port=None)
    assert again.base == first.base == f"http://127.0.0.1:{hands.env['RICOCHET_WORKER_PORT']}"
    hands.ready(again)
    assert identities(hands) == tables
    assert_same(hands.report(offers_of(lines)), embedded(lines, tmp_path))


def identities(hands: Crew) -> dict[Path, str]:
    """Read the name that RocksDB gave each table when it was made, by where it lies."""
    return {path: path.read_text() for path in Path(hands.env["RICOCHET_DATA"]).rglob("IDENTITY")}


def next_version(folder: Path) -> dict[str, str]:
    """Make a copy of the program whose encoding is one further on: acts have one field more. Its environment."""
    for package in ("spread", "streams", "connectors", "ricochet"):
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    module = folder / "spread" / "facts.py"
    text = module.read_text()
    last = "    followers: int | None = None\n"
    newer = text.replace(f"ENCODING: Final = {facts.ENCODING}", f"ENCODING: Final = {facts.ENCODING + 1}")
    newer = newer.replace(f"{last}\n    def event", f"{last}    note: str = 'n'\n\n    def event")
    assert newer.count("note: str = 'n'") == 1
    module.write_text(newer)
    return {"PYTHONPATH": str(folder)}


def test_workers_are_upgraded_one_by_one(hands: Crew, tmp_path: Path) -> None:
    """A newer worker reads what an older one stored and sent; an older one refuses what a newer one sent, in a line."""
    newer = next_version(tmp_path / "next")
    lines = crowd(16, 9_000)
    old, other = hands.start("a"), hands.start("b")
    hands.send(lines[:3_000])
    until(lambda: partitions(old) == partitions(other) == 2, "both have partitions", every_s=0.2)
    hands.stop(old)
    hands.start("a", newer)
    hands.send(lines[3_000:6_000])
    assert other.ends() == 2, other.said
    assert any("upgrade this worker" in line for line in other.said), other.said
    hands.gone(other)
    hands.start("b", newer)
    hands.send(lines[6_000:])
    hands.caught_up()
    assert_same(hands.report(offers_of(lines)), embedded(lines, tmp_path))
