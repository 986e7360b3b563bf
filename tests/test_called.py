"""From a share to somebody's phone: Kafka, workers, a connector, Prometheus and Alertmanager as they are set up."""

from __future__ import annotations

import json
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.crew import Crew
from tests.jetstream import offer_post
from tests.monitoring import query
from tests.test_dashboards import empty_of_others
from tests.watched import MINUTE, TOKEN, Watched, cascade, event, seen, watching
from tests.worlds import Event


@pytest.fixture
def watched(hands: Crew, tmp_path: Path) -> Iterator[Watched]:
    """Give an installation, and those who are called, in a hurry."""
    with watching(hands, tmp_path, hurry=True) as made:
        yield made


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
    seen(lambda: bool(called.of("/recruiters", "RicochetOfferViral", "firing")), "somebody to be called")

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
    seen(lambda: bool(called.of("/recruiters", "RicochetOfferViral", "resolved")), "the end")

    # All that the dashboards ask of workers and connectors is there to be seen.
    watched.jetstream.say(offer_post(time.time_ns() // 1_000))
    seen(lambda: not empty_of_others(watched.prometheus), "panels with data")

    assert watched.connector.end(signal.SIGKILL) == -signal.SIGKILL
    seen(lambda: bool(called.of("/operators", "RicochetConnectorBlind", "firing")), "a blind connector")

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
    seen(lambda: len(watched.mail.about("Site engineer is viral")) > 1, "its beginning and its end by mail")
    by_mail = watched.mail.about("Site engineer is viral")
    assert [letter["To"] for letter in by_mail] == ["recruiting@example.invalid"] * 2
    for form in ("plain", "html"):
        body = by_mail[0].get_body((form,))
        assert body is not None
        assert "What to do" in body.get_content()

    told = watched.told()
    of_viral = [alert for alert in told if (alert["offer"], alert["condition"]) == ("sre", "viral")]
    assert [alert["state"] for alert in of_viral] == ["firing", "resolved"]
    assert len({alert["id"] for alert in of_viral}) == 1
    assert of_viral[0]["values"]["shares"] >= 100
    flaps = [alert for alert in told if (alert["offer"], alert["condition"]) == ("flap", "takes_off")]
    assert [alert["state"] for alert in flaps] == ["firing", "resolved"]

    at = [word for worker in watched.hands.hands for word in ("--at", worker.base)]
    watched.hands.command("digest", *at, "--send", watched.alertmanager)
    seen(lambda: bool(called.of("/recruiters", "RicochetDigest", "firing")), "the digest")
    (week,) = called.of("/recruiters", "RicochetDigest", "firing")
    assert re.search("it .*took off", week["annotations"]["description"])
    seen(lambda: bool(watched.mail.about(week["annotations"]["summary"])), "the digest by mail")
