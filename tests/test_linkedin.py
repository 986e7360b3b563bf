"""LinkedIn: what its messages say, who is believed, what a pull fills in, and what each misbehaviour leads to."""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client import CollectorRegistry

from connectors import linkedin_posts
from connectors.connector import Connector
from connectors.linkedin import VERSION
from connectors.runner import Runner
from connectors.sightings import Authored, Removed, Shared
from ricochet.connector_metrics import ConnectorCollector
from spread.events import AnyEvent, Counts, Delete, Post, Profile, Rejected, Reply, Share
from tests.connecting import Looking, Notes, Shelf, made, running
from tests.linkedin import ROOT, SECRET, LinkedIn, delivery, notification, now_ms, offer_post, signature
from tests.processes import address, ended, good, started, until
from tests.receiving import Sender
from tests.rehearsals import OFFER, URL
from tests.replay import Answer
from tests.test_offers_cli import OFFERS

DAY_MS = 86_400_000


@pytest.fixture
def linkedin() -> Iterator[LinkedIn]:
    """Give LinkedIn, with a post of the offer."""
    with LinkedIn() as server:
        server.posts[ROOT] = offer_post()
        yield server


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    """Give a place for a journal."""
    return tmp_path / "journal"


def connector(server: LinkedIn, **options: str) -> Connector:
    """Make a connector that reaches the server."""
    return made("linkedin", server.options() | options, Looking())


def kinds(shelf: Shelf) -> list[tuple[str, str]]:
    """Give what came, each once, in the order in which it came first."""
    return [*dict.fromkeys((str(event.__struct_config__.tag), event.id) for event in shelf.events)]


def first(shelf: Shelf, kind: type[AnyEvent]) -> Any:
    """Give the first event of a kind, None if there is none."""
    return next((event for event in shelf.events if isinstance(event, kind)), None)


def test_texts_are_read_as_people_see_them() -> None:
    """Signs that LinkedIn escapes, hashtags and names in its own form become text again, addresses in it too."""
    text, tags = linkedin_posts.written(
        r"Join @[Acme](urn:li:organization:42) {hashtag|\#|hiring} https://jobs.example/42?gh\_jid=7 \(m/f/x\)"
    )
    assert text == "Join Acme #hiring https://jobs.example/42?gh_jid=7 (m/f/x)"
    assert tags == ("hiring",)


def test_a_post_is_read_with_its_link() -> None:
    """A published post has its author, moment, text and the link of its article; a draft is nobody's yet."""
    post = offer_post(at=5, content={"article": {"source": URL, "title": "A job"}}, extra={"unknown": 1})
    (seen,) = linkedin_posts.normalise({"post": post})
    assert isinstance(seen, Authored)
    assert (seen.id, seen.actor, seen.at, seen.urls) == (
        f"linkedin:{ROOT}",
        "linkedin:urn:li:organization:42",
        5,
        (URL,),
    )
    assert linkedin_posts.normalise({"post": post | {"lifecycleState": "DRAFT"}}) == []


def test_a_post_that_shares_another_is_a_share_or_a_quote() -> None:
    """What the organisation passes on is a share without words of its own, with them it names what it quotes."""
    reshare = offer_post("urn:li:share:8", reshareContext={"parent": ROOT, "root": ROOT})
    (quote,) = linkedin_posts.normalise({"post": reshare})
    (share,) = linkedin_posts.normalise({"post": reshare | {"commentary": ""}})
    assert isinstance(quote, Authored) and quote.quotes == f"linkedin:{ROOT}"
    assert isinstance(share, Shared) and share.of == f"linkedin:{ROOT}"


def test_a_share_names_the_post_and_no_parent() -> None:
    """A share is one of the post that is shown beside it, by whoever owns it, under its notification's id."""
    (seen,) = linkedin_posts.normalise({"notification": notification(7, "SHARE", "ann", at=9)})
    wanted = Shared(id="linkedin:notification:7", actor="linkedin:urn:li:person:ann", at=9, of=f"linkedin:{ROOT}")
    assert seen == wanted


def test_a_comment_has_one_name_in_both_forms() -> None:
    """Edited and deleted, a comment is the same one, in whichever of its two forms LinkedIn writes it."""
    at_first = notification(7, "COMMENT", "ann")
    edited = notification(8, "COMMENT_EDIT", "ann", decoratedGeneratedActivity=at_first["decoratedGeneratedActivity"])
    deleted = notification(9, "COMMENT_DELETE", "ann", generatedActivity=at_first["generatedActivity"])
    del deleted["decoratedGeneratedActivity"]
    (first,), (second,), (gone,) = (
        linkedin_posts.normalise({"notification": one}) for one in (at_first, edited, deleted)
    )
    assert isinstance(first, Authored) and isinstance(second, Authored) and isinstance(gone, Removed)
    assert first.id == second.id == gone.target == "linkedin:urn:li:comment:(urn:li:activity:7001,7)"
    assert first.replies_to == f"linkedin:{ROOT}"


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        ({"notification": notification(7, "SHARE", "ann") | {"decoratedSourcePost": None}}, "unnamed"),
        ({"notification": notification(7, "SHARE", "ann") | {"decoratedGeneratedActivity": None}}, "unnamed"),
        ({"notification": notification(7, "SHARE", "ann") | {"lastModifiedAt": "soon"}}, "mistyped field"),
        ({"post": offer_post() | {"publishedAt": None, "createdAt": None}}, "missing field"),
        ({"post": offer_post("urn:li:share:" + "7" * 600)}, "too long"),
        ("a text", "mistyped field"),
    ],
)
def test_what_can_not_be_told_is_rejected(raw: Any, reason: str) -> None:
    """A share of nobody, or of no post by its name, and what has another shape: a reason that quotes nothing."""
    (rejected,) = linkedin_posts.normalise(raw)
    assert isinstance(rejected, Rejected)
    assert rejected.reason == reason
    assert "ann" not in rejected.detail


@pytest.mark.parametrize(
    "told",
    [
        notification(7, "LIKE", "ann"),
        notification(7, "SHARE_MENTION", "ann") | {"decoratedGeneratedActivity": None},
        notification(7, "A_NEW_ACTION", "ann"),
        notification(7, "SHARE", "ann")
        | {"decoratedGeneratedActivity": {"share": {"entity": "urn:li:share:9", "owner": "urn:li:organization:42"}}},
    ],
)
def test_what_is_no_news_is_dropped(told: dict[str, Any]) -> None:
    """Likes, mentions without a text, what nobody knows yet, and a share that comes as a post of the organisation."""
    assert linkedin_posts.normalise({"notification": told}) == []


def test_the_challenge_is_answered(linkedin: LinkedIn) -> None:
    """A challenge code comes back with its HMAC under the application's secret; a question without one is refused."""
    sender = Sender(connector(linkedin))
    answer = sender.ask("GET", params={"challengeCode": "890e4665-4dfe-4ab1-b689-ed553bceeed0"})
    code = "890e4665-4dfe-4ab1-b689-ed553bceeed0"
    response = hmac.new(SECRET.encode(), code.encode(), hashlib.sha256).hexdigest()
    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == {"challengeCode": code, "challengeResponse": response}
    assert sender.ask("GET").status_code == 400


@pytest.mark.parametrize("code", ["", "hmacsha256={}", "890e4665\n", "é", "a" * 200])
def test_a_challenge_signs_no_delivery(linkedin: LinkedIn, code: str) -> None:
    """A challenge that could be the beginning of a delivery is not answered: the answer would be its signature."""
    answer = Sender(connector(linkedin)).ask("GET", params={"challengeCode": code})
    assert (answer.status_code, answer.content) == (400, b"")


def test_without_a_secret_there_is_no_webhook(linkedin: LinkedIn) -> None:
    """Nothing is taken that nobody can verify."""
    assert list(connector(linkedin, client_secret="").hooks) == []


@pytest.mark.parametrize(
    "headers",
    [{}, {"X-LI-Signature": ""}, {"X-LI-Signature": "hmacsha256="}, signature(b"other"), signature(b"{}", "guessed")],
)
def test_a_wrong_signature_is_refused(linkedin: LinkedIn, journal: Path, headers: dict[str, str]) -> None:
    """A push that LinkedIn did not sign, over these very bytes, is answered 401 and nobody hears of it."""
    one, shelf = connector(linkedin, pull_every_s="3600"), Shelf()
    with running(one, journal, lambda: shelf):
        body = delivery(notification(7, "SHARE", "ann"))
        assert Sender(one).post(body, headers) == 401
        assert Sender(one).post(body, signature(body)) == 200
    assert [kind for kind, _ in kinds(shelf)] == ["post", "share"]


def test_a_signature_may_have_its_prefix(linkedin: LinkedIn, journal: Path) -> None:
    """The prefix of what is signed may stand before the signature, too."""
    one = connector(linkedin)
    with running(one, journal, Shelf):
        body = delivery()
        signed = {"X-LI-Signature": f"hmacsha256={signature(body)['X-LI-Signature']}"}
        assert Sender(one).post(body, signed) == 200


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"type":"LEAD_ACTION"}', b"\xff", b'{"notifications":7}'])
def test_signed_nonsense_does_no_harm(linkedin: LinkedIn, journal: Path, body: bytes) -> None:
    """What is signed and no notification is answered, and nothing comes of it."""
    one, shelf = connector(linkedin), Shelf()
    with running(one, journal, lambda: shelf):
        assert Sender(one).post(body, signature(body)) in (200, 400)
        until(lambda: bool(shelf.events), "the post")
    assert [kind for kind, _ in kinds(shelf)] == ["post"]


def test_a_push_is_answered_once_it_is_safe(linkedin: LinkedIn, journal: Path) -> None:
    """While the events of a push are not safe LinkedIn hears nothing; then 200."""
    one, shelf = connector(linkedin), Shelf()
    with running(one, journal, lambda: shelf) as runner:
        until(lambda: first(shelf, Post) is not None, "the post")
        until(lambda: runner.status.unsafe_pages == 0, "all to be safe")
        shelf.holds = True
        body = delivery(notification(7, "SHARE", "ann"))
        with Sender(one).posting(body, signature(body)) as answers:
            until(lambda: first(shelf, Share) is not None, "the share")
            assert answers == []
            shelf.release()
        assert answers == [200]


def test_a_push_that_does_not_become_safe_is_to_come_again(linkedin: LinkedIn, journal: Path) -> None:
    """A push whose events stay unsafe is answered 503; LinkedIn pushes it again, and it is one event in the end."""
    one, shelf = connector(linkedin), Shelf()
    body = delivery(notification(7, "SHARE", "ann"))
    with running(one, journal, lambda: shelf):
        until(lambda: first(shelf, Post) is not None, "the post")
        shelf.holds = True
        assert Sender(one, safe_s=0.2).post(body, signature(body)) == 503
        shelf.release()
        assert Sender(one).post(body, signature(body)) == 200
    assert kinds(shelf) == [("post", f"linkedin:{ROOT}"), ("share", "linkedin:notification:7")]


def test_pushed_and_pulled_is_once(linkedin: LinkedIn, journal: Path) -> None:
    """Pushed twice and pulled besides, a share is one event; what was never pushed comes by pull."""
    one, shelf = connector(linkedin), Shelf()
    pushed, missed = notification(7, "SHARE", "ann"), notification(8, "SHARE", "bob")
    with running(one, journal, lambda: shelf):
        body = delivery(pushed)
        assert [Sender(one).post(body, signature(body)) for _ in range(2)] == [200, 200]
        linkedin.notifications += [pushed, missed]
        until(lambda: "linkedin:notification:8" in shelf.ids(), "what was missed")
    assert sum(event.id == "linkedin:notification:7" for event in shelf.events) == 1


def test_a_push_before_its_post_has_the_post_read_first(linkedin: LinkedIn, journal: Path) -> None:
    """A share of a post that no pull has told yet comes behind that post, which is asked for once."""
    one, shelf = connector(linkedin, pull_every_s="3600"), Shelf()
    with running(one, journal, lambda: shelf):
        until(lambda: first(shelf, Post) is not None, "the first pull")
        linkedin.posts["urn:li:ugcPost:9"] = offer_post("urn:li:ugcPost:9")
        for n in (7, 8):
            body = delivery(notification(n, "SHARE", f"s{n}", post="urn:li:ugcPost:9"))
            assert Sender(one).post(body, signature(body)) == 200
    assert [id for _, id in kinds(shelf)][1:] == [
        "linkedin:urn:li:ugcPost:9",
        "linkedin:notification:7",
        "linkedin:notification:8",
    ]
    assert linkedin.asked("posts/urn%3Ali%3AugcPost%3A9") == 1


def test_a_push_waits_while_its_post_can_not_be_read(linkedin: LinkedIn, journal: Path) -> None:
    """Where the post that is asked for first meets a limit, the push is not lost: it comes after the wait."""
    one, shelf = connector(linkedin, pull_every_s="3600"), Shelf()
    with running(one, journal, lambda: shelf) as runner:
        until(lambda: first(shelf, Post) is not None, "the first pull")
        linkedin.posts["urn:li:share:9"] = offer_post("urn:li:share:9")
        linkedin.http.faults.append(Answer(status=429, headers={"Retry-After": "0"}))
        body = delivery(notification(7, "SHARE", "ann", post="urn:li:share:9"))
        assert Sender(one).post(body, signature(body)) == 200
        assert runner.status.rate_limits == 1
    assert {"linkedin:urn:li:share:9", "linkedin:notification:7"} <= shelf.ids()


def test_order_does_not_matter(linkedin: LinkedIn, journal: Path) -> None:
    """A deletion that comes before its comment takes it back all the same."""
    one, shelf = connector(linkedin), Shelf()
    comment = notification(7, "COMMENT", "ann")
    deletion = notification(8, "COMMENT_DELETE", "ann", generatedActivity=comment["generatedActivity"])
    del deletion["decoratedGeneratedActivity"]
    with running(one, journal, lambda: shelf):
        until(lambda: first(shelf, Post) is not None, "the post")
        body = delivery(deletion, comment)
        assert Sender(one).post(body, signature(body)) == 200
    assert [kind for kind, _ in kinds(shelf)] == ["post", "reply", "delete"]
    assert first(shelf, Delete).target == first(shelf, Reply).id


def test_it_asks_as_the_api_wants_it(linkedin: LinkedIn, journal: Path) -> None:
    """Every question names the version, the protocol and the token, and the lists are read to their end."""
    linkedin.notifications += [notification(n, "SHARE", f"s{n}") for n in range(250)]
    shelf = Shelf()
    with running(connector(linkedin), journal, lambda: shelf):
        until(lambda: len(shelf.ids()) == 251, "all pages")
    for headers in linkedin.http.headers:
        assert headers["LinkedIn-Version"] == VERSION
        assert headers["X-Restli-Protocol-Version"] == "2.0.0"
        assert headers["Authorization"] == "Bearer a-token"


def test_a_limit_without_a_moment_is_waited_out(linkedin: LinkedIn, journal: Path) -> None:
    """A 429 that names no moment is waited out with full jitter, and nothing is lost."""
    linkedin.http.faults.append(Answer(status=429))
    shelf = Shelf()
    with running(connector(linkedin), journal, lambda: shelf) as runner:
        until(lambda: first(shelf, Post) is not None, "the post")
        assert runner.status.rate_limits == 1


@pytest.mark.parametrize(
    "fault", [Answer(status=503), Answer(status=500), Answer(b"<html>"), Answer({"elements": []}, cut=3)]
)
def test_what_fails_for_a_time_is_tried_again(linkedin: LinkedIn, journal: Path, fault: Answer) -> None:
    """A server's fault, an answer that is none and one cut in the middle: it comes back, and has everything."""
    linkedin.http.faults.append(fault)
    linkedin.notifications.append(notification(7, "SHARE", "ann"))
    shelf = Shelf()
    with running(connector(linkedin), journal, lambda: shelf) as runner:
        until(lambda: len(shelf.ids()) == 2, "everything")
        assert runner.status.reconnects == 1


@pytest.mark.parametrize(("status", "resource"), [(401, "posts"), (403, "organizationalEntityNotifications")])
def test_refused_credentials_are_said(linkedin: LinkedIn, journal: Path, status: int, resource: str) -> None:
    """An expired token and a role that was lost end it, with a line that says what was refused and no secret."""
    linkedin.refusals[resource] = status
    notes = Notes()
    with running(connector(linkedin), journal, Shelf, notes, waits=False) as runner:
        until(lambda: runner.status.state == "refused", "the refusal")
    assert runner.status.why.endswith(f"HTTP {status}")
    assert "a-token" not in repr(notes.lines)


def test_an_unknown_field_does_no_harm(linkedin: LinkedIn, journal: Path) -> None:
    """Fields that nobody knows yet, in posts and notifications and around them, are passed over."""
    linkedin.posts[ROOT] |= {"aNewField": {"deep": [1]}}
    linkedin.notifications.append(notification(7, "SHARE", "ann", aNewField=[{}]))
    shelf = Shelf()
    with running(connector(linkedin), journal, lambda: shelf) as runner:
        until(lambda: len(shelf.ids()) == 2, "both")
        assert not runner.status.rejected


def test_a_revoked_webhook_is_told_and_filled_in(linkedin: LinkedIn, journal: Path) -> None:
    """Without a subscription a line says so, the metric is 1, and what happens still comes, by pull."""
    linkedin.subscribed = False
    shelf, notes = Shelf(), Notes()
    with running(connector(linkedin, count_every_s="0"), journal, lambda: shelf, notes) as runner:
        until(lambda: runner.status.warns is not None, "the warning")
        assert sample(runner.status, "ricochet_connector_warns") == 1
        linkedin.notifications.append(notification(7, "SHARE", "ann"))
        until(lambda: "linkedin:notification:7" in shelf.ids(), "the share")
        linkedin.subscribed = True
        until(lambda: runner.status.warns is None, "the warning to end")
    (told,) = [more["why"] for line, more in notes.lines if line == "needs attention"]
    assert told == "LinkedIn has no webhook for 1 of 1 organisations: what happens comes by pull alone"


def sample(status: Any, name: str) -> float | None:
    """Read a metric of a connector."""
    registry = CollectorRegistry()
    registry.register(ConnectorCollector(lambda: [status], lambda: []))
    return registry.get_sample_value(name, {"connector": status.name})


def test_the_end_of_the_token_is_told_before(linkedin: LinkedIn, journal: Path) -> None:
    """LinkedIn is asked when the token ends: a metric counts down, and two weeks before a line says so."""
    linkedin.expires_at = int(time.time()) + 10 * 86_400
    notes = Notes()
    with running(connector(linkedin, client_id="an-application"), journal, Shelf, notes) as runner:
        until(lambda: runner.status.warns is not None, "the warning")
        left = sample(runner.status, "ricochet_connector_credentials_seconds")
    assert left is not None and 9 * 86_400 < left <= 10 * 86_400
    assert any("the token ends on 20" in str(more["why"]) for line, more in notes.lines if line == "needs attention")


def test_a_token_that_holds_for_long_is_no_news(linkedin: LinkedIn, journal: Path) -> None:
    """A day that the options name counts without asking; months away nothing is said, and the metric is there."""
    with running(connector(linkedin, token_expires="2999-01-01"), journal, Shelf) as runner:
        until(lambda: runner.status.heard_ms is not None, "a pull")
        assert sample(runner.status, "ricochet_connector_credentials_seconds") is not None
        assert runner.status.warns is None


def test_a_token_that_is_none_any_more_is_refused(linkedin: LinkedIn, journal: Path) -> None:
    """Where the network says that the token is not active, or an option names no day, a person has to act."""
    for options in ({"client_id": "a-stranger"}, {"token_expires": "soon"}):
        with running(connector(linkedin, **options), journal, Shelf, waits=False) as runner:
            until(partial(_is_refused, runner), "the refusal")


def _is_refused(runner: Runner) -> bool:
    return runner.status.state == "refused"


def test_totals_and_deletions_are_asked_for(linkedin: LinkedIn, journal: Path) -> None:
    """Totals of the offers' posts come as counts with the network's moment, a post that is gone as a deletion."""
    linkedin.statistics[ROOT] = {
        "shareCount": 3,
        "likeCount": 4,
        "commentCount": 5,
        "impressionCount": 600,
        "clickCount": 7,
    }
    shelf = Shelf()
    with running(connector(linkedin, count_every_s="0"), journal, lambda: shelf):
        until(lambda: first(shelf, Counts) is not None, "the totals")
        until(lambda: first(shelf, Profile) is not None, "the followers")
        linkedin.gone.add(ROOT)
        until(lambda: first(shelf, Delete) is not None, "the deletion")
    counts: Counts = first(shelf, Counts)
    assert (counts.offer, counts.target) == (OFFER, f"linkedin:{ROOT}")
    assert (counts.shares, counts.likes, counts.replies, counts.impressions, counts.clicks) == (3, 4, 5, 600, 7)
    assert counts.id == f"linkedin:{ROOT}#totals-{counts.at}"
    assert abs(counts.at - now_ms()) < 60_000
    assert (first(shelf, Profile).actor, first(shelf, Profile).followers) == ("linkedin:urn:li:organization:42", 900)
    assert first(shelf, Delete).target == f"linkedin:{ROOT}"


@pytest.mark.parametrize("status", [403, 400, 500])
def test_totals_that_can_not_be_read_are_told(linkedin: LinkedIn, journal: Path, status: int) -> None:
    """Where totals are refused, or fail again and again, a line says so, and shares go on coming."""
    linkedin.refusals["organizationalEntityShareStatistics"] = status
    shelf = Shelf()
    with running(connector(linkedin, count_every_s="0"), journal, lambda: shelf) as runner:
        until(lambda: runner.status.warns is not None, "the warning")
        linkedin.notifications.append(notification(7, "SHARE", "ann"))
        until(lambda: "linkedin:notification:7" in shelf.ids(), "the share")
        assert runner.status.warns == f"no totals: share statistics: HTTP {status}"
        assert runner.status.reconnects == 0
        del linkedin.refusals["organizationalEntityShareStatistics"]
        until(lambda: runner.status.warns is None, "the totals")


def test_a_process_takes_what_is_pushed(linkedin: LinkedIn, tmp_path: Path) -> None:
    """`run --connect` has its receiver on a port of its own: a signed push is in the cascade, any other is refused."""
    (tmp_path / "offers.yaml").write_text(OFFERS.replace("https://acme.example/jobs/1", URL))
    good("offers", "import", "offers.yaml", cwd=tmp_path)
    options = linkedin.options() | {"pull_every_s": "3600"}
    env = {f"RICOCHET_CONNECTORS__LINKEDIN__{name.upper()}": value for name, value in options.items()}
    env |= {"RICOCHET_HASH_KEY": "a key of sixteen", "RICOCHET_LOG_FORMAT": "json", "RICOCHET_RECEIVER_PORT": "0"}
    with started("run", "--connect", "linkedin", "--port", "0", cwd=tmp_path, env=env) as child:
        child.base = address(child.line('"event": "running"'))
        hook = address(child.line('"event": "receiving"')) + "/hooks/linkedin"
        child.has("data-42", 1)
        body = delivery(notification(7, "SHARE", "ann"), notification(8, "SHARE", "bob"))
        assert httpx.post(hook, content=body).status_code == 401
        assert httpx.post(hook, content=body, headers=signature(body), timeout=60).status_code == 200
        child.has("data-42", 3)
        assert child.end() == 0


def test_check_says_what_will_be_seen(linkedin: LinkedIn, tmp_path: Path) -> None:
    """`--check` tells what this token shows, and what is missing without a subscription, a secret or a permission."""
    env = {f"RICOCHET_CONNECTORS__LINKEDIN__{name.upper()}": value for name, value in linkedin.options().items()}
    well = good("connect", "linkedin", "--check", cwd=tmp_path, env=env).out
    assert "sees    posts, shares and comments of organisation 42" in well
    assert "sees    what happens, at once, by webhook" in well
    linkedin.subscribed = False
    linkedin.refusals["networkSizes"] = 403
    half = good("connect", "linkedin", "--check", cwd=tmp_path, env=env).out
    assert "misses  anything at once: LinkedIn has no webhook for 1 of 1 organisations" in half
    assert "misses  how many follow: followers: HTTP 403" in half
    linkedin.refusals["posts"] = 401
    done = ended("connect", "linkedin", "--check", cwd=tmp_path, env=env)
    assert (done.code, done.out) == (1, "linkedin: posts: HTTP 401\n")
