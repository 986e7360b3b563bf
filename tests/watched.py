"""An installation with everything that watches it, as it is set up: from a share in Kafka to somebody's phone."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from kafka import KafkaConsumer, TopicPartition

from tests import broker
from tests.crew import PARTITIONS, Crew
from tests.installation import yaml
from tests.jetstream import Jetstream
from tests.mailbox import Mailbox
from tests.monitoring import ALERTMANAGER, PROMETHEUS, monitor, native_copy, query, require, write
from tests.processes import Child, address, command, environment, until
from tests.receiver import Receiver
from tests.worlds import Event

MINUTE: Final = 60_000
TOKEN: Final = "a token of the test"
PASSWORD: Final = "a password of the test"
PATIENCE_S: Final = 300.0
"""An offer is looked at once a minute."""


@dataclass
class Watched:
    """An installation with everything that watches it."""

    hands: Crew
    prometheus: Child
    called: Receiver
    mail: Mailbox
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


def hurried_rules(folder: Path) -> list[str]:
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


def alertmanager(folder: Path, called: Receiver, mail: Mailbox, hurry: bool) -> Path:
    """Write Alertmanager's config again with addresses of this machine, without nights, maybe in more of a hurry."""
    (folder / "webhook-token").write_text(TOKEN)
    (folder / "smtp-password").write_text(PASSWORD)
    (folder / "slack-url").write_text(f"{called.url}/slack")
    text = ALERTMANAGER.read_text().replace("/run/secrets/", f"{folder}/")
    text = re.sub(r"http://(\w+)\.invalid/ricochet", rf"{called.url}/\1", text)
    text = text.replace("mail.invalid:587", mail.address).replace("templates/*", f"{ALERTMANAGER.parent}/templates/*")
    text = re.sub(r"\n *mute_time_intervals: .*", "", text)
    if hurry:
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


@contextmanager
def watching(hands: Crew, folder: Path, *, hurry: bool) -> Iterator[Watched]:
    """Start an installation, and those who are called; in a `hurry` all that waits does so for seconds."""
    require()
    (folder / "offers.yaml").write_text("- id: sre\n  title: Site engineer\n  company: Korrigan\n")
    hands.env["RICOCHET_ENGINE"] = "kafka"
    hands.command("offers", "import", "offers.yaml")
    workers = [hands.start(), hands.start()]
    for worker in workers:
        hands.ready(worker)
    with ExitStack() as started:
        called, jetstream = started.enter_context(Receiver()), started.enter_context(Jetstream())
        mail = started.enter_context(Mailbox(folder, PASSWORD))
        connector = started.enter_context(connecting(hands, jetstream))
        ports = dict(zip(("prometheus", "alertmanager"), broker.free_ports(2), strict=True))
        places = {
            "worker:8780": " ".join(worker.base.removeprefix("http://") for worker in workers),
            "connector:8780": connector.base.removeprefix("http://"),
            "alertmanager:9093": f"127.0.0.1:{ports['alertmanager']}",
            "127.0.0.1:9090": f"127.0.0.1:{ports['prometheus']}",
        }
        scraping = native_copy(folder / "prometheus.yml", places, "1s" if hurry else None)
        if hurry:
            write(scraping, yaml(scraping) | {"rule_files": hurried_rules(folder)})
        paging = alertmanager(folder, called, mail, hurry)
        trusting = {"SSL_CERT_FILE": str(mail.authority)}
        started.enter_context(
            monitor("alertmanager", "prometheus-alertmanager", paging, ports["alertmanager"], folder, env=trusting)
        )
        # What Alertmanager missed while both started, it is sent again soon.
        resend = ["--rules.alert.resend-delay=2s"] if hurry else []
        prometheus = started.enter_context(
            monitor("prometheus", "prometheus", scraping, ports["prometheus"], folder, *resend)
        )
        seen(lambda: bool(called.at("/heartbeat")), "the dead man's switch")
        seen(lambda: query(prometheus, "sum(ricochet_worker_ready)") == 2, "two workers")
        yield Watched(hands, prometheus, called, mail, connector, f"http://{places['alertmanager:9093']}", jetstream)


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
