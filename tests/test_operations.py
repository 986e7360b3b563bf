"""What docs/operations.md says can be done and survived, tried on real brokers and workers; and its table of lines."""

from __future__ import annotations

import ast
import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ricochet.settings import PREFIX, Settings
from tests import broker, documented
from tests.crew import Crew, assert_same, crew, embedded, offers_of
from tests.crowd import crowd
from tests.installation import ROOT
from tests.processes import ended, good, running, until
from tests.test_run import position

PAGE = ROOT / "docs/operations.md"
KEY = "a key of this test"


def not_ready(hands: Crew, why: str) -> None:
    """Wait until a worker says that it is not ready, and why."""

    def said() -> bool:
        answers = [child.get("/readyz") for child in hands.hands]
        return (503, f"{why}\n") in [(answer.status_code, answer.text) for answer in answers]

    until(said, why, every_s=0.2)


# What may be lost


def test_a_lost_data_folder_is_made_again(hands: Crew, tmp_path: Path) -> None:
    """Workers whose tables are gone, as the page says, have them again from Kafka: the answer is the same."""
    lines = crowd(22, 5_000)
    hands.start(), hands.start()
    hands.send(lines)
    hands.caught_up()
    for child in [*hands.hands]:
        hands.kill(child)
    volumes = {"ricochet_workers": Path(hands.env["RICOCHET_DATA"])}
    documented.run(documented.blocks(PAGE, "Backup and restore")[0], tmp_path, volumes)
    assert not list(volumes["ricochet_workers"].iterdir())
    hands.ready(hands.start())
    assert_same(hands.report(offers_of(lines)), embedded(lines, tmp_path))


def test_a_backup_is_restored(own_broker: broker.Broker, tmp_path: Path) -> None:
    """Kafka saved and put back by the page's commands has the answer of then; what came since can be brought again.

    Tables of later that were not removed are refused.
    """
    _, back_up, restore = documented.blocks(PAGE, "Backup and restore")
    lines = crowd(23, 8_000)
    then, since = lines[:5_000], lines[5_000:]
    with crew(own_broker.bootstrap, "", tmp_path) as hands:
        hands.start(), hands.start()
        hands.send(then)
        hands.caught_up()
        stop(hands, own_broker)
        volumes = {"ricochet_kafka": own_broker.kept, "ricochet_workers": Path(hands.env["RICOCHET_DATA"])}
        documented.run(back_up, tmp_path, volumes)
        own_broker.start()
        hands.start(), hands.start()
        hands.send(since)
        hands.caught_up()
        assert_same(hands.report(offers_of(lines)), embedded(lines, tmp_path))

        stop(hands, own_broker)
        shutil.copytree(volumes["ricochet_workers"], tmp_path / "later")
        documented.run(restore, tmp_path, volumes)
        own_broker.start()
        later = hands.start(env={"RICOCHET_DATA": str(tmp_path / "later")})
        assert later.ends() == 2, later.said
        assert "tables are ahead of Kafka" in later.said[-1]
        assert later.said[-1].startswith(f"ricochet: {tmp_path / 'later' / '1'}: ")
        hands.gone(later)
        hands.start(), hands.start()
        hands.caught_up()
        assert_same(hands.report(offers_of(then)), embedded(then, tmp_path))
        hands.send(since)
        hands.caught_up()
        assert_same(hands.report(offers_of(lines)), embedded(lines, tmp_path))


def stop(hands: Crew, kafka: broker.Broker) -> None:
    """Stop everything in good order."""
    for child in [*hands.hands]:
        hands.stop(child)
    kafka.stop()


def test_a_state_file_is_restored(tmp_path: Path) -> None:
    """The file of `ricochet run`, saved in use and put back by the page's commands, goes on to the whole answer."""
    back_up, restore = documented.blocks(PAGE, "The state file of `ricochet run`")
    lines = crowd(28, 2_000)
    wanted = embedded(lines, tmp_path)
    tail, state = tmp_path / "tail.jsonl", tmp_path / "ricochet.state"
    tail.write_bytes(b"".join(lines[:1_000]))
    with running(tail, state=state) as child:
        until(lambda: child.events() > 0, "something to keep")
        documented.run(back_up, tmp_path)
        assert child.end() == 0
    state.write_bytes(b"nothing of SQLite")
    documented.run(restore, tmp_path)
    with open(tail, "ab") as more:
        more.writelines(lines[1_000:])
    with running(tail, state=state) as child:
        until(lambda: position(state) == tail.stat().st_size, "the end of the file", every_s=0.1)
        assert child.end() == 0
    good("report", "--state", "ricochet.state", "--out", "report", "--edges", "edges", cwd=tmp_path)
    assert_same(((tmp_path / "report").read_bytes(), (tmp_path / "edges").read_bytes()), wanted)


# What can't be changed in place


def test_more_partitions_are_a_new_prefix(hands: Crew, kafka: str, prefix: str, tmp_path: Path) -> None:
    """A wider installation beside the old one, filled from the archive, gives the same report and edges."""
    lines = crowd(24, 4_000)
    hands.start()
    hands.send(lines)
    hands.caught_up()
    wanted = embedded(lines, tmp_path)
    assert_same(hands.report(offers_of(lines)), wanted)
    wider = {"RICOCHET_SOCIAL_PARTITIONS": "9", "RICOCHET_OFFER_PARTITIONS": "6"}
    (folder := tmp_path / "wider").mkdir()
    with crew(kafka, f"{prefix}v2-", folder, wider) as more:
        more.start(), more.start()
        archive = tmp_path / "events.jsonl"
        more.command("replay", archive, "--to", "kafka", "--report", "report", "--edges", "edges")
        report = (folder / "report").read_bytes().splitlines(keepends=True)
        assert_same((b"".join(report[:-1]), (folder / "edges").read_bytes()), wanted)
    assert_same(hands.report(offers_of(lines)), wanted)


def test_a_lost_hash_key_is_the_end_of_an_installation(kafka: str, prefix: str, tmp_path: Path) -> None:
    """Without the key all is answered as before; under another one everybody counts twice, but not in a new prefix."""
    (tmp_path / "events.jsonl").write_bytes(b"".join(crowd(25, 1_500)))
    replay = ("replay", tmp_path / "events.jsonl", "--to", "kafka", "--report", "-")

    def totals(out: str) -> dict[str, tuple[int, int]]:
        lines = [json.loads(line) for line in out.splitlines() if line.startswith("{")]
        return {one["offer"]: (one["nodes"], one["participants"]) for one in lines if one["type"] == "offer"}

    with crew(kafka, prefix, tmp_path, {f"{PREFIX}HASH_KEY": KEY}) as hands:
        worker = hands.start()
        before = totals(hands.command(*replay).out)
        assert all(before.values())
        hands.stop(worker)
        del hands.env[f"{PREFIX}HASH_KEY"]
        hands.ready(hands.start())
        assert totals(hands.report(before)[0].decode()) == before
        hands.env[f"{PREFIX}HASH_KEY"] = "another key of it"
        twice = totals(hands.command(*replay).out)
        assert twice == {id: (2 * nodes, 2 * people) for id, (nodes, people) in before.items()}
    (folder := tmp_path / "anew").mkdir()
    with crew(kafka, f"{prefix}anew-", folder, {f"{PREFIX}HASH_KEY": "another key of it"}) as anew:
        anew.start()
        assert totals(anew.command(*replay).out) == before


# How trouble shows


def test_no_kafka_at_the_start_is_one_line(tmp_path: Path) -> None:
    """A worker that finds no Kafka ends with a line that names it, and nothing else."""
    said = ended("worker", "--port", "0", cwd=tmp_path, env={"RICOCHET_KAFKA": "127.0.0.1:1"}).complaint()
    assert said.startswith("ricochet: Kafka at 127.0.0.1:1: ")


def test_a_worker_is_ready_once_its_tables_are_whole(hands: Crew) -> None:
    """From its start on a worker answers; until it is in its group and its tables are whole, that it recovers."""
    child = hands.start()
    answers = [child.get("/readyz")]
    assert child.get("/healthz").status_code == 200

    def ready() -> bool:
        answers.append(child.get("/readyz"))
        return answers[-1].status_code == 200

    until(ready, "ready")
    assert {(answer.status_code, answer.text) for answer in answers} == {(503, "recovering\n"), (200, "ready\n")}


def test_a_kafka_that_is_away_is_seen(own_broker: broker.Broker, tmp_path: Path) -> None:
    """A worker says that Kafka does not answer, and is ready once it does."""
    lines = crowd(27, 1_000)
    with crew(own_broker.bootstrap, "", tmp_path, {f"{PREFIX}STALLED_SECONDS": "3"}) as hands:
        child = hands.start()
        hands.send(lines[:500])
        hands.caught_up()
        own_broker.stop()
        not_ready(hands, "stalled: Kafka does not answer")
        own_broker.start()
        hands.ready(child)
        hands.send(lines[500:])
        hands.caught_up()
        assert_same(hands.report(offers_of(lines)), embedded(lines, tmp_path))


@pytest.mark.parametrize(
    ("away", "back"),
    [(broker.Broker.stop, broker.Broker.start), (broker.Broker.pause, broker.Broker.resume)],
    ids=["gone", "silent"],
)
def test_a_worker_is_stopped_while_kafka_is_away(
    away: Callable[[broker.Broker], None],
    back: Callable[[broker.Broker], None],
    own_broker: broker.Broker,
    tmp_path: Path,
) -> None:
    """Amid its work, a worker that can acknowledge nothing ends well; the next one goes on to the whole answer."""
    lines = crowd(29, 5_000)
    with crew(own_broker.bootstrap, "", tmp_path) as hands:
        child = hands.start()
        hands.send(lines)
        until(lambda: child.events() > 0, "something taken in")
        away(own_broker)
        assert child.end() == 0, child.said
        assert any('"event": "stopped"' in line for line in child.said)
        hands.gone(child)
        back(own_broker)
        hands.start()
        hands.caught_up()
        assert_same(hands.report(offers_of(lines)), embedded(lines, tmp_path))


def test_a_worker_is_stopped_while_it_starts(own_broker: broker.Broker, tmp_path: Path) -> None:
    """A worker that still waits for a silent Kafka, for its place in the group or its tables, ends well."""
    with crew(own_broker.bootstrap, "", tmp_path) as hands:
        child = hands.start()
        own_broker.pause()
        hands.stop(child)


# The table of lines


ONE_LINE = {"ClusterError", "DoorError", "RicochetError"}
"""What ends a command in one line."""
NOT_OF_KAFKA = {
    "cli.py", "connect_cli.py", "export.py", "export_cli.py", "forget_cli.py", "forgetting.py", "imports.py",
    "jsonl.py", "live.py", "offers.py", "offers_cli.py", "replay.py", "settings.py",
}  # fmt: skip
"""Modules whose one-line errors are about files, options and settings alone."""


def rows() -> list[str]:
    """Give the lines that the page explains in its tables of trouble."""
    page = PAGE.read_text()
    trouble = page[page.index("## What a line of trouble means") :]
    return [line for row in re.findall(r"^\| (`.*?) \|", trouble, re.MULTILINE) for line in re.findall(r"`(.*?)`", row)]


def code() -> str:
    """Give the source of everything that may say a line, strings that go over several lines put together."""
    files = (
        path for package in ("spread", "streams", "connectors", "ricochet") for path in (ROOT / package).glob("*.py")
    )
    return re.sub(r'"\s*\n\s*f?"', "", "\n".join(path.read_text() for path in files))


def said(node: ast.AST) -> str | None:
    """Give a string of the code with its variable parts as `…`, None for what is no string."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return re.sub(r"%\w", "…", node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(said(part) or "…" for part in node.values)
    return None


def lines_of_trouble() -> Iterator[tuple[str, str]]:
    """Find what is logged as a warning or an error, and the one-line errors about Kafka, each with its module."""
    for path in (path for package in ("streams", "connectors", "ricochet") for path in (ROOT / package).glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call) or not node.args or (line := said(node.args[0])) is None:
                continue
            of = node.func
            if isinstance(of, ast.Attribute) and isinstance(of.value, ast.Name) and of.value.id in ("log", "_log"):
                if of.attr in ("warning", "error", "exception", "critical"):
                    yield path.name, line
            elif isinstance(of, ast.Name) and of.id in ONE_LINE and path.name not in NOT_OF_KAFKA:
                yield path.name, line


def test_lines_of_trouble_are_ones_that_are_said() -> None:
    """Each line that the page explains is in the code; so are the settings that it names."""
    source, lines = code(), rows()
    assert len(lines) > 30
    for line in lines:
        assert all(part.strip(" :;,()") in source for part in line.split("…")), line
    settings = {name.lower() for name in re.findall(rf"{PREFIX}(\w+)", PAGE.read_text())}
    assert settings <= Settings.model_fields.keys()


def test_lines_of_trouble_are_all_explained() -> None:
    """Each warning and error in the log, each one-line error about Kafka, and each answer of /readyz is on the page."""
    explained, found = rows(), list(lines_of_trouble())
    assert len(found) > 15
    for module, line in found:
        parts = [part.strip(" :;,()") for part in line.split("…")]
        if any(re.search(r"\w{3}", part) for part in parts):
            assert any(all(part in row for part in parts) for row in explained), (module, line)
    trouble = (ROOT / "streams/worker.py").read_text().partition("def trouble(")[2].partition("    def ")[0]
    answers = re.findall(r'return "(.*)"', trouble)
    assert len(answers) == 4
    assert set(answers) <= set(explained)
