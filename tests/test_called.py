"""From a share to somebody's phone: Kafka, workers, a connector, Prometheus and Alertmanager as they are set up."""

from __future__ import annotations

import json
import re
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaConsumer, TopicPartition

from tests import broker
from tests.crew import PARTITIONS, Crew
from tests.installation import yaml
from tests.jetstream import Jetstream, offer_post
from tests.monitoring import ALERTMANAGER, PROMETHEUS, monitor, native_copy, query, require, write
from tests.processes import Child, address, command, environment, until
from tests.receiver import Receiver
from tests.test_dashboards import empty_of_others
from tests.worlds import Event

MINUTE = 60_000
TOKEN = "a token of the test"
PATIENCE_S = 300.0
"""An offer is looked at once a minute."""


@dataclass
class Watched:
    """An installation with everything that watches it."""

    hands: Crew
    prometheus: Child
    called: Receiver
    connector: Child
    alertmanager: str
    jetstream: Jetstream

    def replay(self, name: str, events: list[Event]) -> None:
        """Send events by `ricochet replay`."""
        file = self.hands.folder / f"{name}.jsonl"
        file.write_text("".join(json.dumps(event) + "\n" for event in events))
        self.hands.command("replay", file, "--to", "kafka")

    def holds(self, offer: str, condition: str) -> float:
        """What Prometheus knows of a condition."""
        return query(
            self.prometheus, f'offer_condition:ricochet_offer_condition:max{{offer="{offer}",condition="{condition}"}}'
        )

    def told(self) -> list[dict[str, Any]]:
        """Read the topic `alerts` to its end, in order of time."""
        topic = self.hands.env["RICOCHET_TOPIC_PREFIX"] + "alerts"
        consumer = KafkaConsumer(bootstrap_servers=self.hands.env["RICOCHET_KAFKA"], group_id=None)
        try:
            places = [TopicPartition(topic, number) for number in range(PARTITIONS)]
            consumer.assign(places)
            consumer.seek_to_beginning(*places)
            ends = consumer.end_offsets(places)
            found: list[dict[str, Any]] = []
            while any(consumer.position(place) < end for place, end in ends.items()):
                for records in consumer.poll(timeout_ms=500).values():
                    found += [json.loads(record.value) for record in records]
        finally:
            consumer.close()
        return sorted(found, key=lambda alert: alert["at"])


def seen(true: Callable[[], bool], what: str) -> None:
    """Wait until something is seen to be so."""
    until(true, what, every_s=0.2, hang_s=PATIENCE_S)


def sooner(duration: str) -> str:
    """Make a patience of minutes one of seconds."""
    return re.sub(r"^(\d+)m$", r"\1s", duration)


def rules(folder: Path) -> list[str]:
    """Write Prometheus's rules again with seconds for minutes in their patience, all else as it is."""
    written = []
    for name in yaml(PROMETHEUS)["rule_files"]:
        content = yaml(PROMETHEUS.parent / name)
        for group in content["groups"]:
            group.pop("interval", None)
            for rule in group["rules"]:
                rule |= {key: sooner(rule[key]) for key in ("for", "keep_firing_for") if key in rule}
        write(folder / name, content)
        written.append(str(folder / name))
    return written


def alertmanager(folder: Path, called: Receiver) -> Path:
    """Write Alertmanager's config again with addresses of this machine, without nights, and in more of a hurry."""
    (folder / "webhook-token").write_text(TOKEN)
    (folder / "smtp-password").write_text("")
    (folder / "slack-url").write_text(f"{called.url}/slack")
    text = ALERTMANAGER.read_text().replace("/run/secrets/", f"{folder}/")
    text = re.sub(r"http://(\w+)\.invalid/ricochet", rf"{called.url}/\1", text)
    text = text.replace("mail.invalid:587", "127.0.0.1:9").replace("templates/*", f"{ALERTMANAGER.parent}/templates/*")
    text = re.sub(r"\n *mute_time_intervals: .*", "", text)
    text = text.replace("group_wait: 30s", "group_wait: 3s").replace("group_interval: 5m", "group_interval: 2s")
    (folder / "alertmanager.yml").write_text(text)
    return folder / "alertmanager.yml"


@contextmanager
def connecting(hands: Crew, jetstream: Jetstream) -> Iterator[Child]:
    """Run the connector of Bluesky."""
    env = hands.env | {
        "RICOCHET_HASH_KEY": "0123456789abcdef",
        "RICOCHET_CONNECTORS__BLUESKY__JETSTREAM": jetstream.url,
        "RICOCHET_CONNECTORS__BLUESKY__APPVIEW": "http://127.0.0.1:9",
    }
    with Child(command("connect", "bluesky", "--port", "0"), hands.folder, environment(env)) as child:
        child.base = address(child.line('"event": "connecting"'))
        yield child


@pytest.fixture
def watched(hands: Crew, tmp_path: Path) -> Iterator[Watched]:
    """Give an installation, and those who are called."""
    require()
    (tmp_path / "offers.yaml").write_text("- id: sre\n  title: Site engineer\n  company: Korrigan\n")
    hands.env["RICOCHET_ENGINE"] = "kafka"
    hands.command("offers", "import", "offers.yaml")
    workers = [hands.start(), hands.start()]
    for worker in workers:
        hands.ready(worker)
    with Receiver() as called, Jetstream() as jetstream, connecting(hands, jetstream) as connector:
        ports = dict(zip(("prometheus", "alertmanager"), broker.free_ports(2), strict=True))
        places = {
            "worker:8780": " ".join(worker.base.removeprefix("http://") for worker in workers),
            "connector:8780": connector.base.removeprefix("http://"),
            "alertmanager:9093": f"127.0.0.1:{ports['alertmanager']}",
            "127.0.0.1:9090": f"127.0.0.1:{ports['prometheus']}",
        }
        scraping = native_copy(tmp_path / "prometheus.yml", places, "1s")
        config = yaml(scraping)
        write(scraping, config | {"rule_files": rules(tmp_path)})
        paging = alertmanager(tmp_path, called)
        with (
            monitor("alertmanager", "prometheus-alertmanager", paging, ports["alertmanager"], tmp_path),
            # What Alertmanager missed while both started, it is sent again soon.
            monitor(
                "prometheus",
                "prometheus",
                scraping,
                ports["prometheus"],
                tmp_path,
                "--rules.alert.resend-delay=2s",
            ) as prometheus,
        ):
            seen(lambda: bool(called.at("/heartbeat")), "the dead man's switch")
            until(
                lambda: query(prometheus, "sum(ricochet_worker_ready)") == 2,
                "two workers",
                every_s=0.2,
                hang_s=PATIENCE_S,
            )
            yield Watched(hands, prometheus, called, connector, f"http://{places['alertmanager:9093']}", jetstream)


def event(kind: str, id: str, at: int, **more: object) -> Event:
    """Make an event on Bluesky."""
    return {"v": 1, "id": f"bluesky:{id}", "kind": kind, "network": "bluesky", "at": at, **more}


def cascade(offer: str, start: int, first: int, each: int) -> list[Event]:
    """Make an offer whose post is shared by some, and by more through each of those, within ten minutes."""
    root = {"offer": offer, "root": f"bluesky:{offer}"}
    events = [event("post", offer, start, actor="bluesky:korrigan", followers=500, **root)]
    for n in range(first):
        at = start + 5 * MINUTE * n // first
        via = f"{offer}/{n}"
        events.append(event("share", via, at, actor=f"bluesky:{via}", via=root["root"], followers=100, **root))
        for m in range(each):
            id, later = f"{via}/{m}", at + MINUTE + 4 * MINUTE * m // max(each, 1)
            events.append(event("share", id, later, actor=f"bluesky:{id}", via=f"bluesky:{via}", followers=50, **root))
    return events


def taken_back(events: list[Event]) -> list[Event]:
    """Make the deletes of all shares."""
    now = time.time_ns() // 1_000_000
    shares = [one for one in events if one["kind"] == "share"]
    return [event("delete", f"{one['id']}/x", now, actor=one["actor"], target=one["id"]) for one in shares]


def test_people_are_called_once_and_told_when_it_is_over(watched: Watched) -> None:
    """Viral is one message in the right words, and one at its end; flapping is no storm; a dead connector is told."""
    called = watched.called
    begin = time.time_ns() // 1_000_000 - 13 * MINUTE
    viral, flapping = cascade("sre", begin, 20, 6), cascade("flap", begin, 12, 0)
    watched.replay("viral", viral)
    until(
        lambda: bool(called.of("/recruiters", "RicochetOfferViral", "firing")),
        "somebody to be called",
        every_s=0.2,
        hang_s=PATIENCE_S,
    )

    # Up and down, three times: one alert, and its end.
    nodes = 'offer:ricochet_offer_nodes:sum{offer="flap"}'
    post, *shares = flapping
    for turn in range(3):
        again = [one | {"id": f"{one['id']}-{turn}"} for one in shares]
        watched.replay(f"up{turn}", [post, *again])
        seen(lambda: query(watched.prometheus, nodes) == 13, "twelve shares")
        if turn == 0:
            seen(lambda: watched.holds("flap", "takes_off") == 1, "taking off")
        watched.replay(f"down{turn}", taken_back(again))
        seen(lambda: query(watched.prometheus, nodes) == 1, "no share")
    seen(lambda: watched.holds("flap", "takes_off") == 0, "calming down")

    watched.replay("over", taken_back(viral))
    until(
        lambda: bool(called.of("/recruiters", "RicochetOfferViral", "resolved")),
        "the end",
        every_s=0.2,
        hang_s=PATIENCE_S,
    )

    # All that the dashboards ask of workers and connectors is there to be seen.
    watched.jetstream.say(offer_post(time.time_ns() // 1_000))
    seen(lambda: not empty_of_others(watched.prometheus), "panels with data")

    assert watched.connector.end(signal.SIGKILL) == -signal.SIGKILL
    until(
        lambda: bool(called.of("/operators", "RicochetConnectorBlind", "firing")),
        "a blind connector",
        every_s=0.2,
        hang_s=PATIENCE_S,
    )

    (message,) = called.of("/recruiters", "RicochetOfferViral", "firing")
    words = message["annotations"]
    assert words["summary"].startswith("Site engineer is viral: ")
    assert words["how_far"].startswith("141 posts and shares, at least 500 accounts reached, at most 8.5k")
    assert words["through"].startswith("bluesky 141; 120 had it from others")
    assert words["how_sure"].startswith("0% assumed; 100% declared; 0% inferred;")
    assert words["todo"]
    assert words["dashboard"] == "/d/ricochet-offer?var-offer=sre"
    (over,) = called.of("/recruiters", "RicochetOfferViral", "resolved")
    assert over["labels"] == message["labels"]
    assert not called.of("/recruiters", "RicochetOfferTakesOff", "firing", offer="sre"), "viral silences it"
    assert len(called.of("/recruiters", "RicochetOfferTakesOff", "firing", offer="flap")) <= 1
    (blind,) = called.of("/operators", "RicochetConnectorBlind", "firing")
    assert blind["annotations"]["summary"] == "The connector bluesky is blind"
    assert called.tokens >= {f"Bearer {TOKEN}"}
    slack = json.dumps(called.at("/slack"))
    assert "Site engineer is viral" in slack
    assert "What to do: Answer replies" in slack
    assert "Over: " in slack

    told = watched.told()
    of_viral = [alert for alert in told if (alert["offer"], alert["condition"]) == ("sre", "viral")]
    assert [alert["state"] for alert in of_viral] == ["firing", "resolved"]
    assert len({alert["id"] for alert in of_viral}) == 1
    assert of_viral[0]["values"]["shares"] >= 100
    flaps = [alert for alert in told if (alert["offer"], alert["condition"]) == ("flap", "takes_off")]
    assert [alert["state"] for alert in flaps] == ["firing", "resolved"]

    at = [word for worker in watched.hands.hands for word in ("--at", worker.base)]
    watched.hands.command("digest", *at, "--send", watched.alertmanager)
    until(
        lambda: bool(called.of("/recruiters", "RicochetDigest", "firing")), "the digest", every_s=0.2, hang_s=PATIENCE_S
    )
    (week,) = called.of("/recruiters", "RicochetDigest", "firing")
    assert re.search("it .*took off", week["annotations"]["description"])
