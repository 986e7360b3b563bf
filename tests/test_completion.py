"""From sightings to events: which cascade something belongs to, what a deletion means, what is nobody's business."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from connectors.completion import Completion
from connectors.connector import Normal
from connectors.journal import Journal
from connectors.sightings import Authored, Followed, Removed, Shared, Stated, Withdrawn
from spread.events import AnyEvent, Counts, Delete, Forget, Post, Profile, Quote, Rejected, Reply, Share, Ties
from tests.rehearsals import OFFER, URL, match

JOB = Authored(id="x:1", actor="x:acme", at=1, text="We hire", urls=(URL,), followers=900)
QUOTE = Authored(id="x:q", actor="x:ed", at=2, text="look", quotes="x:1")


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    """Give a journal of an employer."""
    with Journal(tmp_path / "journal", ["x:acme"]) as made:
        yield made


@pytest.fixture
def completion(journal: Journal) -> Completion:
    """Give the completion of a network whose deletions come in order."""
    return Completion(journal, match, "x")


def all_of(completion: Completion, *seen: Normal) -> list[AnyEvent]:
    """Complete one after the other."""
    return [event for one in seen for event in completion.events(one, "stream")]


def kinds(events: list[AnyEvent]) -> list[type]:
    """Give the kinds of events."""
    return [type(event) for event in events]


def test_a_post_that_matches_is_a_root(completion: Completion) -> None:
    """It names itself, its offer and whether it is the employer's; its text stays behind."""
    (post,) = all_of(completion, JOB)
    assert post == Post(
        v=1, id="x:1", network="x", at=1, source="stream", actor="x:acme", offer=OFFER, root="x:1", followers=900,
        role="company",
    )  # fmt: skip


def test_what_concerns_no_offer_is_dropped(completion: Completion, journal: Journal) -> None:
    """A post, a share, a reply, a follow, a deletion of something unknown: no event, and nothing kept."""
    seen: list[Normal] = [
        Authored(id="x:8", actor="x:a", at=1, text="hello", quotes="x:7", replies_to="x:6", thread="x:5"),
        Shared(id="x:9", actor="x:a", at=1, of="x:7", via="x:6"),
        Followed(id="x:f", actor="x:a", at=1, whom="x:b"),
        Removed(target="x:7", at=1, actor="x:a"),
        Withdrawn(id="x:w", actor="x:a", at=1, for_good=True),
        Stated(id="x:s", at=1, target="x:7", shares=3),
        Profile(v=1, id="x:p", network="x", at=1, actor="x:a", followers=3),
        Rejected("not JSON", "", b""),
    ]
    assert all_of(completion, *seen) == []
    assert not journal.knows("x:a")


def test_a_share_belongs_to_the_root_of_what_it_shares(completion: Completion) -> None:
    """Of a root, `via` is as the network says or absent; of a quote it is the quote, whose root it gets.

    x:1 ── x:q (quote) ── x:s2 (share of the quote)
     └──── x:s1
    """
    events = all_of(
        completion,
        JOB,
        QUOTE,
        Shared(id="x:s1", actor="x:a", at=3, of="x:1"),
        Shared(id="x:s2", actor="x:b", at=4, of="x:q"),
        Shared(id="x:s3", actor="x:c", at=5, of="x:1", via="x:s1"),
    )
    assert kinds(events) == [Post, Quote, Share, Share, Share]
    found = [(event.root, event.via, event.offer) for event in events if isinstance(event, Share)]
    assert found == [("x:1", None, OFFER), ("x:1", "x:q", OFFER), ("x:1", "x:s1", OFFER)]


def test_a_share_may_name_the_offer_of_what_was_not_told(completion: Completion) -> None:
    """Where a source tells shares and not their post, it says whose they are; what is known of the post counts more."""
    events = all_of(
        completion,
        Shared(id="x:s1", actor="x:a", at=3, of="x:7", named="other"),
        Removed(target="x:s1", at=4),
        JOB,
        Shared(id="x:s2", actor="x:a", at=5, of="x:1", named="other"),
    )
    assert kinds(events) == [Share, Delete, Post, Share]
    assert [(one.root, one.offer) for one in events if isinstance(one, Share)] == [("x:7", "other"), ("x:1", OFFER)]


def test_a_quote_of_a_quote_leads_to_the_first_post(completion: Completion) -> None:
    """A chain of quotes has one root, even where a later one names the offer itself."""
    events = all_of(
        completion, JOB, QUOTE, Authored(id="x:r", actor="x:f", at=3, text=URL, quotes="x:q", replies_to="x:1")
    )
    last = events[-1]
    assert isinstance(last, Quote)
    assert (last.root, last.via) == ("x:1", "x:q")


def test_a_reply_is_followed_through_its_conversation(completion: Completion) -> None:
    """A reply to something unknown belongs to the post at the top of its conversation."""
    events = all_of(
        completion,
        JOB,
        Authored(id="x:r1", actor="x:a", at=2, replies_to="x:1", thread="x:1"),
        Authored(id="x:r2", actor="x:b", at=3, replies_to="x:unseen", thread="x:1"),
    )
    assert kinds(events) == [Post, Reply, Reply]
    replies = [event for event in events if isinstance(event, Reply)]
    assert [(event.root, event.via) for event in replies] == [
        ("x:1", "x:1"),
        ("x:1", "x:unseen"),
    ]


def test_the_same_again_is_the_same(completion: Completion) -> None:
    """What is known keeps what it was; shown beside another message it is no news."""
    first = all_of(completion, JOB, QUOTE)
    again = all_of(completion, JOB, QUOTE)
    beside = Authored(id="x:1", actor="x:acme", at=1, urls=(URL,), beside=True)
    assert first == again
    assert all_of(completion, beside) == []


def test_a_share_that_was_asked_for_is_news_once(completion: Completion) -> None:
    """Where a network is asked for shares, those that are known are not told again, others are."""
    asked = Shared(id="x:2", actor="x:ana", at=2, of="x:1", beside=True)
    assert kinds(all_of(completion, JOB, asked)) == [Post, Share]
    assert all_of(completion, asked) == []


def test_a_network_may_name_the_offer(completion: Completion) -> None:
    """The tag of a rule says which offer a post belongs to, whatever its text."""
    (post,) = all_of(completion, Authored(id="x:5", actor="x:a", at=1, named="other"))
    assert isinstance(post, Post)
    assert post.offer == "other"


def test_a_deletion_learns_whose_it_is(completion: Completion) -> None:
    """Where the network names the target alone, the account is known from the index; a stranger deletes nothing."""
    events = all_of(
        completion,
        JOB,
        QUOTE,
        Removed(target="x:q", at=9),
        Removed(target="x:1", at=9, actor="x:stranger"),
    )
    assert kinds(events) == [Post, Quote, Delete]
    assert events[-1] == Delete(v=1, id="x:q#deleted", network="x", at=9, source="stream", actor="x:ed", target="x:q")


def test_a_deletion_may_come_first(journal: Journal) -> None:
    """Where a network keeps no order, a deletion waits for its target, and one by a stranger in vain."""
    completion = Completion(journal, match, "x", in_order=False)
    assert all_of(completion, Removed(target="x:q", at=5), Removed(target="x:1", at=5, actor="x:stranger")) == []
    assert kinds(all_of(completion, JOB, QUOTE)) == [Post, Quote, Delete]


def test_an_alias_stands_for_an_id(completion: Completion, journal: Journal) -> None:
    """What a server alone knows something by leads to the id that everybody knows it by: replies, quotes, deletions."""
    job = msgspec.structs.replace(JOB, alias="x:here/1")
    events = all_of(
        completion,
        job,
        msgspec.structs.replace(JOB, alias="x:there/7", beside=True),
        Authored(id="x:q", actor="x:ed", at=2, quotes="x:there/7", alias="x:here/2"),
        Authored(id="x:r", actor="x:a", at=3, replies_to="x:here/2"),
        Shared(id="x:s", actor="x:b", at=4, of="x:here/2", alias="x:here/4"),
        Removed(target="x:here/4", at=5),
        Stated(id="x:t", at=6, target="x:there/7", likes=4),
    )
    told = [(event.id, getattr(event, "via", None), getattr(event, "target", None)) for event in events]
    assert told == [
        ("x:1", None, None),
        ("x:q", "x:1", None),
        ("x:r", "x:q", None),
        ("x:s", "x:q", None),
        ("x:s#deleted", None, "x:s"),
        ("x:t", None, "x:1"),
    ]
    assert [entry.id for entry in journal.of("x:acme")] == ["x:1"]
    journal.save(journal.turn("c", 9))
    journal.forget("x:b")
    assert journal.entry("x:here/4") is None


def test_a_deletion_by_an_alias_may_come_first(journal: Journal) -> None:
    """A deletion that names what a server alone knows waits for its target too."""
    completion = Completion(journal, match, "x", in_order=False)
    assert all_of(completion, Removed(target="x:here/1", at=5)) == []
    assert kinds(all_of(completion, msgspec.structs.replace(JOB, alias="x:here/1"))) == [Post, Delete]


def test_follows_of_those_who_take_part(completion: Completion) -> None:
    """A follow is told of the follower, of the followed, or of both; so is its end, which names the record alone."""
    all_of(completion, JOB, QUOTE)
    of_ed = all_of(completion, Followed(id="x:f1", actor="x:ed", at=3, whom="x:z"))
    by_z = all_of(completion, Followed(id="x:f2", actor="x:z", at=3, whom="x:ed"))
    both = all_of(completion, Followed(id="x:f3", actor="x:ed", at=3, whom="x:acme"))
    ended = all_of(completion, Removed(target="x:f3", at=4, actor="x:ed"))
    ties = [event for event in (*of_ed, *by_z, *both, *ended) if isinstance(event, Ties)]
    assert [(one.actor, one.follows, one.unfollows, one.followed_by) for one in ties] == [
        ("x:ed", ["x:z"], None, None),
        ("x:ed", None, None, ["x:z"]),
        ("x:ed", ["x:acme"], None, None),
        ("x:acme", None, None, ["x:ed"]),
        ("x:ed", None, ["x:acme"], None),
    ]
    assert len({one.id for one in ties}) == 5


def test_an_account_that_is_gone_for_good_is_forgotten(completion: Completion, journal: Journal) -> None:
    """It is erased, here too: what shares its posts later finds nothing."""
    all_of(completion, JOB, QUOTE)
    events = all_of(
        completion,
        Withdrawn(id="x:w", actor="x:ed", at=5, for_good=True),
        Shared(id="x:s", actor="x:a", at=6, of="x:q"),
    )
    assert events == [Forget(v=1, id="x:w", network="x", at=5, source="stream", actor="x:ed")]
    assert not journal.knows("x:ed")


def test_an_account_that_is_hidden_loses_its_posts(completion: Completion) -> None:
    """Taken down or switched off, everything that it wrote is deleted."""
    all_of(completion, JOB, QUOTE, Shared(id="x:s", actor="x:ed", at=3, of="x:1"))
    events = all_of(completion, Withdrawn(id="x:w", actor="x:ed", at=5, for_good=False))
    assert [event.target for event in events if isinstance(event, Delete)] == ["x:q", "x:s"]


def test_totals_and_profiles_of_what_is_known(completion: Completion) -> None:
    """Totals get the offer of their post, and a profile passes where its account takes part."""
    profile = Profile(v=1, id="x:p", network="x", at=1, actor="x:acme", followers=3)
    _, counts, same = all_of(completion, JOB, Stated(id="x:t", at=9, target="x:1", likes=4), profile)
    assert counts == Counts(v=1, id="x:t", network="x", at=9, source="stream", offer=OFFER, target="x:1", likes=4)
    assert same == profile
