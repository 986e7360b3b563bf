"""What Facebook and Threads have in common: errors and limits of the Graph API, signed webhooks, tokens that end."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from connectors.api import Missing, NotTaken
from connectors.connector import Connector, ConnectorError, NotConnected, RateLimited, Refused
from connectors.meta import meta_fault, spent
from connectors.runner import Runner
from spread.events import Delete
from tests.connecting import Looking, Notes, Shelf, made, running
from tests.meta import (
    ROOT,
    VERIFY,
    Facebook,
    Graph,
    Threads,
    change,
    error,
    page_delivery,
    reply,
    signature,
    threads_delivery,
    usage,
)
from tests.processes import until
from tests.receiving import Sender
from tests.replay import Answer
from tests.test_linkedin import sample

BOTH = {"facebook": Facebook, "threads": Threads}
ROOTS = {"facebook": f"facebook:{ROOT}", "threads": "threads:1"}


@pytest.fixture(params=list(BOTH))
def name(request: pytest.FixtureRequest) -> str:
    """Give each network."""
    return str(request.param)


@pytest.fixture
def graph(name: str) -> Iterator[Graph]:
    """Give the network, with a post of the offer."""
    with BOTH[name]() as server:
        server.publish(ROOTS[name].partition(":")[2])
        yield server


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    """Give a place for a journal."""
    return tmp_path / "journal"


def connector(name: str, server: Graph, **options: str) -> Connector:
    """Make a connector that reaches the server."""
    return made(name, server.options() | options, Looking())


def pushed(name: str, n: int) -> bytes:
    """Write a delivery of a comment or a reply."""
    if name == "facebook":
        return page_delivery(change("comment", "add", f"u{n}", n))
    return threads_delivery("replies", reply(f"8{n}", f"u{n}"))


def answered(name: str, n: int) -> str:
    """Name the event of that."""
    return f"facebook:1_{n}" if name == "facebook" else f"threads:8{n}"


def test_the_challenge_wants_the_verify_token(name: str, graph: Graph) -> None:
    """Who knows the verify token gets the challenge back; anybody else, and everybody where there is none, does not."""
    sender = Sender(connector(name, graph))
    asked = {"hub.mode": "subscribe", "hub.challenge": "1158201444", "hub.verify_token": VERIFY}
    answer = sender.ask("GET", params=asked)
    assert (answer.status_code, answer.text) == (200, "1158201444")
    assert sender.ask("GET", params=asked | {"hub.verify_token": "guessed"}).status_code == 403
    silent = Sender(connector(name, graph, verify_token=""))
    assert silent.ask("GET", params=asked | {"hub.verify_token": ""}).status_code == 403


def test_without_a_secret_there_is_no_webhook(name: str, graph: Graph) -> None:
    """Nothing is taken that nobody can verify."""
    assert list(connector(name, graph, app_secret="").hooks) == []


def test_a_wrong_signature_is_refused(name: str, graph: Graph, journal: Path) -> None:
    """A delivery that is not signed, or signed otherwise, is answered 401 and nobody hears of it."""
    one, shelf = connector(name, graph, pull_every_s="3600"), Shelf()
    body = pushed(name, 7)
    bare = {"X-Hub-Signature-256": signature(body)["X-Hub-Signature-256"].removeprefix("sha256=")}
    wrong = [{}, {"X-Hub-Signature-256": ""}, {"X-Hub-Signature-256": "sha256="}, bare]
    with running(one, journal, lambda: shelf):
        for headers in (*wrong, signature(b"other"), signature(body, "guessed")):
            assert Sender(one).post(body, headers) == 401
        until(lambda: bool(shelf.events), "the pull")
        assert shelf.ids() == {ROOTS[name]}
        assert Sender(one).post(body, signature(body)) == 200
    assert answered(name, 7) in shelf.ids()


@pytest.mark.parametrize("body", [b"{", b"[]", b"7", b'{"object":"page","entry":7}', b'{"values":[7]}', b"\xff"])
def test_signed_nonsense_does_no_harm(name: str, graph: Graph, journal: Path, body: bytes) -> None:
    """What is signed and says nothing is answered, and nothing comes of it."""
    one, shelf = connector(name, graph), Shelf()
    with running(one, journal, lambda: shelf) as runner:
        assert Sender(one).post(body, signature(body)) in (200, 400)
        until(lambda: bool(shelf.events), "the post")
        assert not runner.status.rejected
    assert shelf.ids() == {ROOTS[name]}


def test_a_delivery_is_answered_once_it_is_safe(name: str, graph: Graph, journal: Path) -> None:
    """While the events of a delivery are not safe nobody is told that they are; unsafe for too long is 503."""
    one, shelf = connector(name, graph), Shelf()
    with running(one, journal, lambda: shelf) as runner:
        until(lambda: bool(shelf.events) and runner.status.unsafe_pages == 0, "the post to be safe")
        shelf.holds = True
        body = pushed(name, 7)
        assert Sender(one, safe_s=0.2).post(body, signature(body)) == 503
        with Sender(one).posting(body, signature(body)) as answers:
            until(lambda: answered(name, 7) in shelf.ids(), "the reply")
            assert answers == []
            shelf.release()
        assert answers == [200]
    assert sum(event.id == answered(name, 7) for event in shelf.events) == 1


def test_a_delivery_before_its_post_has_the_post_read_first(name: str, graph: Graph, journal: Path) -> None:
    """A reply to a post that no pull has told comes behind that post, also where reading it meets a limit first."""
    post = graph.posts.pop(ROOTS[name].partition(":")[2])
    one, shelf = connector(name, graph, pull_every_s="3600"), Shelf()
    with running(one, journal, lambda: shelf) as runner:
        until(lambda: runner.status.heard_ms is not None, "the first pull")
        graph.posts[post["id"]] = post
        graph.http.faults.append(error(4, headers={"Retry-After": "0"}))
        body = pushed(name, 7)
        assert Sender(one).post(body, signature(body)) == 200
        assert runner.status.rate_limits == 1
    assert [event.id for event in shelf.events][:2] == [ROOTS[name], answered(name, 7)]


@pytest.mark.parametrize(
    ("answer", "raised", "after_s"),
    [
        (error(4), RateLimited, None),
        (error(17), RateLimited, None),
        (error(32, headers={"Retry-After": "7"}), RateLimited, 7),
        (error(80001, headers=usage(estimated_time_to_regain_access=19)), RateLimited, 19 * 60),
        (error(613, headers={"X-App-Usage": "nonsense"}), RateLimited, None),
        (error(0, status=429, headers={"Retry-After": "7"}), RateLimited, 7),
        (Answer(b"", 429, {"Retry-After": "7"}), RateLimited, 7),
        (error(190, status=401), Refused, None),
        (error(190), Refused, None),
        (error(10, status=403), Refused, None),
        (error(200), Refused, None),
        (error(1, status=500), NotConnected, None),
        (error(2, status=503, headers={"Retry-After": "7"}), NotConnected, 7),
        (Answer(b"<html>", 502), NotConnected, None),
        (error(100), NotTaken, None),
        (error(100, 33), Missing, None),
    ],
)
def test_errors_are_told_by_their_code(answer: Answer, raised: type[ConnectorError], after_s: float | None) -> None:
    """Limits, tokens, permissions and faults have their meaning, whatever the HTTP status, and no text goes on."""
    headers = {name.lower(): value for name, value in answer.headers.items()}
    body = answer.body if isinstance(answer.body, bytes) else json.dumps(answer.body).encode()
    found = meta_fault(answer.status, headers, body, "posts")
    assert type(found) is raised
    assert getattr(found, "after_s", None) == after_s
    assert "acme" not in str(found)


def test_the_most_of_a_limit_counts() -> None:
    """How much is used is the greatest percentage in either header; what can't be read counts as nothing."""
    assert spent({}) == 0
    assert spent({"x-app-usage": '{"call_count":28,"total_time":97}'}) == 97
    assert spent({"x-business-use-case-usage": '{"1":[{"call_count":1},{"total_cputime":98}],"2":[7]}'}) == 98
    assert spent({"x-app-usage": "[", "x-business-use-case-usage": "7"}) == 0


def test_near_a_limit_nothing_more_is_asked(name: str, graph: Graph, journal: Path) -> None:
    """An answer that says the limit is nearly spent is the last one until it is lifted, and nothing is lost."""
    graph.headers = {
        key.title(): value for key, value in usage(call_count=97, estimated_time_to_regain_access=1).items()
    }
    with running(connector(name, graph), journal, Shelf, waits=False) as runner:
        until(lambda: runner.status.rate_limits == 1, "the rest")
        assert "nearly spent" in runner.status.why
        asked = len(graph.http.asked)
    assert asked <= 3


def test_refused_credentials_are_said(name: str, graph: Graph, journal: Path) -> None:
    """An expired token ends it with a line that names no secret; so does one that the network calls invalid."""
    notes = Notes()
    for options in ({"access_token": "geheim-expired"}, {"app_id": "an-app"}):
        graph.token = {"is_valid": False}  # of the one that is not expired
        with running(connector(name, graph, **options), journal, Shelf, notes, waits=False) as runner:
            until(partial(_is_refused, runner), "the refusal")
        assert "does not hold any more" in runner.status.why
    assert "geheim" not in repr(notes.lines)


def _is_refused(runner: Runner) -> bool:
    return runner.status.state == "refused"


def test_the_end_of_the_token_is_told_before(name: str, graph: Graph, journal: Path) -> None:
    """The network is asked when the token ends, 0 is never: a metric counts down, two weeks before a line says so."""
    graph.token = {"is_valid": True, "expires_at": 0, "data_access_expires_at": int(time.time()) + 5 * 86_400}
    notes = Notes()
    with running(connector(name, graph, app_id="an-app"), journal, Shelf, notes) as runner:
        until(lambda: runner.status.warns is not None, "the warning")
        left = sample(runner.status, "ricochet_connector_credentials_seconds")
    assert left is not None and 4 * 86_400 < left <= 5 * 86_400
    assert any("the token ends on 20" in str(more["why"]) for line, more in notes.lines if line == "needs attention")


@pytest.mark.parametrize(
    "fault",
    [
        Answer(status=503),
        error(2, status=500),
        Answer(b"<html>"),
        Answer({"data": []}, cut=3),
        error(4),
        error(100, 33),
    ],
)
def test_what_fails_for_a_time_is_tried_again(name: str, graph: Graph, journal: Path, fault: Answer) -> None:
    """Faults, answers that are none, cut ones, and limits without a moment: it comes back, and has everything."""
    graph.http.faults.append(fault)
    shelf = Shelf()
    with running(connector(name, graph), journal, lambda: shelf) as runner:
        until(lambda: ROOTS[name] in shelf.ids(), "the post")
        assert runner.status.reconnects + runner.status.rate_limits == 1


def test_a_post_that_can_not_be_read_is_not_taken_for_gone(name: str, graph: Graph, journal: Path) -> None:
    """While its list has a post, an error that may as well be a missing permission deletes nothing."""
    id = ROOTS[name].partition(":")[2]
    path = id if name == "facebook" else f"{id}/insights"
    graph.faults[path] = error(100, 33)
    shelf = Shelf()
    with running(connector(name, graph, count_every_s="0"), journal, lambda: shelf):
        until(lambda: graph.asked(path) >= 2, "questions for it")
        assert not [event for event in shelf.events if isinstance(event, Delete)]
        del graph.posts[id]
        until(lambda: any(isinstance(event, Delete) for event in shelf.events), "the deletion")


def test_a_delivery_whose_post_can_not_be_asked_for_blocks_nothing(name: str, graph: Graph, journal: Path) -> None:
    """What is pushed about a post that the network does not take a question for is answered, and nobody's."""
    id = ROOTS[name].partition(":")[2]
    del graph.posts[id]
    graph.faults[id] = error(100)
    one, shelf = connector(name, graph), Shelf()
    with running(one, journal, lambda: shelf) as runner:
        assert Sender(one).post(pushed(name, 7), signature(pushed(name, 7))) == 200
        assert runner.status.reconnects == 0
    assert shelf.events == []


def test_a_list_is_read_to_its_end(name: str, graph: Any, journal: Path) -> None:
    """Three pages of posts, and no address that holds the token is followed."""
    for n in range(250):
        graph.publish(f"1000_2{n:03}")
    shelf = Shelf()
    with running(connector(name, graph), journal, lambda: shelf):
        until(lambda: len(shelf.ids()) == 251, "all pages")
    assert not [one for one in graph.http.asked if "access_token=" in one]
