"""The life of workers: places, readiness, rebalances, who answers for what, upgrades."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from kafka.admin import MemberToRemove

from ricochet.worker import FENCED
from spread import facts
from streams.topics import SPREAD
from tests.broker import admin, free_ports
from tests.crew import PARTITIONS, Crew, assert_same, embedded, offers_of, read_all
from tests.crowd import crowd
from tests.processes import Child, Samples, ended, until

ROOT = Path(__file__).parents[1]


def summed(hands: Crew, name: str) -> dict[str, float]:
    """Sum a metric of offers over all workers, by offer; no offer may be told by two of them."""
    found: dict[str, float] = {}
    for child in hands.hands:
        mine = {dict(labels)["offer"]: n for (metric, labels), n in child.samples().items() if metric == name}
        assert not mine.keys() & found.keys(), "an offer on two workers"
        found |= mine
    return found


def partitions(child: Child) -> float:
    """Count the partitions of offers that a worker has."""
    return of_stage(child.samples(), "ricochet_worker_partitions", "offers")


def of_stage(samples: Samples, name: str, stage: str) -> float:
    """Read a metric of one stage."""
    return samples.get((name, frozenset({("stage", stage)})), 0.0)


def test_metrics_sum_up_over_workers_and_nothing_stale_stays(hands: Crew, tmp_path: Path) -> None:
    """Through rebalances, as workers join and go, each offer is told by one worker alone, with its right numbers."""
    lines = crowd(11, 6_000)
    first = hands.start()
    hands.send(lines)
    hands.caught_up()
    report = [json.loads(line) for line in embedded(lines, tmp_path)[0].splitlines()]
    depths = {line["offer"]: line["depth"] for line in report if line["type"] == "offer"}
    assert summed(hands, "ricochet_offer_depth") == depths
    second = hands.start()
    until(lambda: partitions(first) == partitions(second) == 2, "both have partitions", every_s=0.2)
    until(lambda: summed(hands, "ricochet_offer_depth") == depths, "the sum is right", every_s=0.2)
    hands.stop(first)
    until(lambda: partitions(second) == 4, "one has all", every_s=0.2)
    until(lambda: summed(hands, "ricochet_offer_depth") == depths, "the sum is right again", every_s=0.2)
    assert of_stage(second.samples(), "ricochet_consumer_lag_events", "people") == 0


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
