"""The web: health, offers and their edges as JSON, from the state as it is."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest
from prometheus_client import CollectorRegistry

from ricochet import web
from ricochet.view import View
from spread.events import Rejected, decode
from spread.offer import Offer
from streams.embedded import Embedded
from tests.crowd import NOON
from tests.processes import HANG_S, Child, ended, good, running, started, until

ODD = (
    "backend",
    "a/b",
    "a/b/edges",
    "métier n° 7",
    "求人/データ",
    "100 %",
    "?q=1#x",
    "../metrics",
    "a//b/",
    "edges",
    'tab\tand "quotes" & <b>',
)


def events(offers: tuple[str, ...]) -> bytes:
    """Give a post and two shares of each offer, the second passed on from the first."""
    lines = []
    for number, offer in enumerate(offers):
        root = f"x:{number}"
        post = {
            **{"v": 1, "id": root, "kind": "post", "network": "x", "at": NOON},
            **{"actor": "x:employer", "offer": offer, "root": root, "followers": 10},
        }
        one = post | {"id": f"{root}/1", "kind": "share", "actor": "x:1"}
        two = one | {"id": f"{root}/2", "actor": "x:2", "via": f"{root}/1"}
        lines += [post, one, two]
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Child]:
    """Give a running process that has read some offers with odd ids."""
    folder = tmp_path_factory.mktemp("served")
    (folder / "events.jsonl").write_bytes(events(ODD))
    with running(folder / "events.jsonl", state=folder / "state") as child:
        until(lambda: child.get("/readyz").status_code == 200 and child.events() == 3 * len(ODD), "ready")
        yield child


def test_health_and_readiness_are_plain_text(served: Child) -> None:
    """/healthz and /readyz answer in a word."""
    for path, word in (("/healthz", "ok\n"), ("/readyz", "ready\n")):
        answer = served.get(path)
        assert (answer.status_code, answer.text) == (200, word)
        assert answer.headers["content-type"].startswith("text/plain")


def test_all_offers_are_listed(served: Child) -> None:
    """/offers gives the report line of each offer, with its state and speed."""
    answer = served.get("/offers")
    assert answer.headers["content-type"] == "application/json"
    offers = {line["offer"]: line for line in answer.json()}
    assert sorted(offers) == sorted(ODD)
    for line in offers.values():
        assert (line["nodes"], line["depth"], line["participants"], line["state"]) == (3, 2, 3, "open")
        assert set(line["velocity"]) == {"shares_per_minute", "acceleration", "half_life_s"}


@pytest.mark.parametrize("offer", ODD)
def test_an_offer_is_found_whatever_its_id(served: Child, offer: str) -> None:
    """An id with slashes, spaces, signs or letters of any script names its offer, once it is URL-encoded."""
    number = ODD.index(offer)
    answer = served.get(f"/offers/{quote(offer, safe='')}")
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/json"
    detail = answer.json()
    assert (detail["offer"], detail["nodes"]) == (offer, 3)
    (cascade,) = detail["cascades_by_root"]
    assert (cascade["root"], cascade["depth"]) == (f"x:{number}", 2)
    assert detail["bases"] == {"declared": 1, "inferred": 0, "assumed": 1}
    assert sum(detail["curve"]["counts"]) == 2


@pytest.mark.parametrize("offer", ODD)
def test_edges_are_lines_of_json(served: Child, offer: str) -> None:
    """/offers/{id}/edges gives a line for each living node but the root, as `--edges` does."""
    root = f"x:{ODD.index(offer)}"
    answer = served.get(f"/offers/{quote(offer, safe='')}/edges")
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("application/x-ndjson")
    assert [json.loads(line) for line in answer.text.splitlines()] == [
        {"root": root, "child": f"{root}/1", "parent": root, "basis": "assumed", "probability": None},
        {"root": root, "child": f"{root}/2", "parent": f"{root}/1", "basis": "declared", "probability": 1},
    ]


@pytest.mark.parametrize("path", ["/offers/nobody", "/offers/nobody/edges", "/offers/a", "/offers/", "/offers//edges"])
def test_an_unknown_offer_is_404_in_json(served: Child, path: str) -> None:
    """An offer that nobody has heard of is a 404 with a reason, and is not thereby created."""
    answer = served.get(path)
    assert answer.status_code == 404
    assert answer.json() == {"error": "no such offer"}
    assert len(served.get("/offers").json()) == len(ODD)


def test_unknown_pages_and_methods_are_refused(served: Child) -> None:
    """What is not there is 404, what cannot be done is 405; HEAD is a GET without its body."""
    assert served.get("/nothing").status_code == 404
    assert httpx.post(f"{served.base}/offers", timeout=HANG_S).status_code == 405
    for path in ("/metrics", "/offers", "/offers/backend", "/healthz"):
        answer = httpx.head(served.base + path, timeout=HANG_S)
        assert (answer.status_code, answer.content) == (200, b"")


def test_metrics_are_served_in_the_format_that_is_asked_for(served: Child) -> None:
    """/metrics speaks Prometheus text, and OpenMetrics to whom accepts it."""
    plain = served.get("/metrics")
    assert plain.headers["content-type"].startswith("text/plain")
    assert "ricochet_offers_not_shown 0.0\n" in plain.text
    accept = {"accept": "application/openmetrics-text; version=1.0.0"}
    strict = httpx.get(f"{served.base}/metrics", headers=accept, timeout=HANG_S)
    assert strict.headers["content-type"].startswith("application/openmetrics-text")
    assert strict.text.endswith("# EOF\n")


def test_it_listens_on_loopback_unless_told_otherwise(tmp_path: Path) -> None:
    """The address is 127.0.0.1 by default; another one is an option."""
    (tmp_path / "e").write_bytes(b"")
    for options, host in (((), "127.0.0.1"), (("--host", "::1"), "[::1]"), (("--host", "0.0.0.0"), "0.0.0.0")):
        with started("run", "--tail", "e", "--port", "0", *options, cwd=tmp_path) as child:
            assert f"http://{host}:" in child.line("running")
            assert child.end() == 0


def test_offers_survive_a_restart(tmp_path: Path) -> None:
    """After a restart the offers are there at once, with nothing new to read."""
    (tmp_path / "e").write_bytes(events(ODD))
    good("replay", "e", "--state", "state", cwd=tmp_path)
    expected = good("report", "--state", "state", cwd=tmp_path).out
    (tmp_path / "e").write_bytes(b"")
    with running(tmp_path / "e", state=tmp_path / "state") as child:
        for offer in ODD:
            assert child.nodes(offer) == 3
        assert len(child.get("/offers").json()) == len(ODD)
        shown = {dict(labels)["offer"] for name, labels in child.samples() if name == "ricochet_offer_depth"}
        assert shown == set(ODD)
        assert child.end() == 0
    assert good("report", "--state", "state", cwd=tmp_path).out == expected


def test_an_id_that_begins_with_nothing_is_an_id(tmp_path: Path) -> None:
    """An offer whose id begins with a NUL is kept, listed and reported like any other."""
    (tmp_path / "e").write_bytes(events(("\0a", "b")))
    good("replay", "e", "--state", "state", "--report", "r", cwd=tmp_path)
    again = good("report", "--state", "state", cwd=tmp_path).out
    assert again.splitlines() == (tmp_path / "r").read_text().splitlines()[:-1]


def test_a_host_that_is_none_is_one_line(tmp_path: Path) -> None:
    """An address that this machine does not have is named in one line."""
    (tmp_path / "e").write_bytes(b"")
    for host in ("192.0.2.1", "not a host", ""):
        complaint = ended("run", "--tail", "e", "--port", "0", "--host", host, cwd=tmp_path).complaint()
        assert host in complaint


@pytest.mark.parametrize("what", ["report", "edges"])
def test_an_answer_is_worked_out_in_the_thread_of_the_engine(monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    """No line of an answer is made in another thread, where the engine could change the offer meanwhile."""
    threads: list[int] = []
    name = {"report": "report_lines", "edges": "edge_lines"}[what]
    original = getattr(Offer, name)

    def watched(offer: Offer) -> Iterator[bytes]:
        for line in original(offer):
            threads.append(threading.get_ident())
            yield line

    monkeypatch.setattr(Offer, name, watched)

    async def ask(engine: Embedded) -> httpx.Response:
        app = web.application(View(engine), CollectorRegistry(), lambda: None, web.here)
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://here") as client:
            return await client.get(f"/offers/one/{what}")

    with Embedded() as engine:
        found = [event for line in events(("one",)).splitlines() for event in decode(line)]
        engine.feed([event for event in found if not isinstance(event, Rejected)])
        answer = asyncio.run(ask(engine))
    assert answer.status_code == 200
    assert threads == [threading.get_ident()] * len(answer.content.splitlines())
    assert threads
