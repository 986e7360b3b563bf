"""From the share that makes an offer viral to the message about it, with every patience as it is shipped.

Two workers, Prometheus and Alertmanager by the flags and files of the compose file: Prometheus asks each 15 seconds,
Alertmanager waits half a minute for what belongs to the same offer. The clock counts: no ratio, and no bound.
"""

import tempfile
import time
from pathlib import Path
from typing import Final
from uuid import uuid4

from bench.result import Result
from tests.broker import kafka
from tests.crew import crew
from tests.watched import MINUTE, Watched, cascade, seen, watching

_BEGAN_BEFORE: Final = 13 * MINUTE


def measure() -> list[Result]:
    """Seconds from the sending of the events to the topic `alerts`, and to the message."""
    with (
        tempfile.TemporaryDirectory() as folder,
        kafka() as servers,
        crew(servers, f"bench-{uuid4().hex[:12]}-", Path(folder)) as hands,
        watching(hands, Path(folder), hurry=False) as watched,
    ):
        return _called(watched)


def _called(watched: Watched) -> list[Result]:
    sent = time.time()
    watched.replay("viral", cascade("sre", round(1000 * sent) - _BEGAN_BEFORE, 20, 6))
    came = watched.called
    seen(lambda: bool(came.of("/recruiters", "RicochetOfferViral", "firing")), "somebody to be called")
    messaged = time.time()
    (decided,) = (alert["at"] / 1000 for alert in watched.told() if alert["condition"] == "viral")
    return [
        Result("viral: from its shares to the topic", decided - sent, "s"),
        Result("  to the message", messaged - sent, "s"),
    ]
