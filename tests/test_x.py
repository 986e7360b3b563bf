"""X: what its messages say, made up and real, in old names and new, and which rules its stream is to have."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from connectors.connector import Normal, Root
from connectors.sightings import Authored, Removed, Shared, Stated
from connectors.x import X
from connectors.x_posts import Asked, answered
from connectors.x_rules import LONGEST, MOST, Present, Rule, changes, offer_of, queries, wanted
from spread.events import Rejected
from spread.registry import JobOffer
from tests.real_cascades import needed
from tests.x_network import PROBLEMS, in_new_names, post

FIRST, SECOND, THIRD = "1800000000000000000", "1800000004194304000", "1800000012582912000"
"""A second and three seconds apart."""
AT = 1_717_988_417_000


def line(
    one: dict[str, Any], *beside: dict[str, Any], tags: tuple[str, ...] = (), followers: int = 7
) -> dict[str, Any]:
    """Write a line of the stream."""
    users = [{"id": of["author_id"], "public_metrics": {"followers_count": followers}} for of in (one, *beside)]
    includes = {"users": users, "tweets": [*beside]}
    return {"data": one, "includes": includes, "matching_rules": [{"id": "1", "tag": tag} for tag in tags]}


def seen(message: object) -> list[Normal]:
    """Read a message."""
    return [*X.normalise(json.dumps(message).encode())]


def both(message: dict[str, Any]) -> list[Normal]:
    """Read a message in the old names, and the same in the new ones: they say the same."""
    told = seen(message)
    assert seen(in_new_names(message)) == told
    return told


JOB = post(FIRST, "1", "We hire", "https://t.example/x")
JOB["entities"] = {
    "urls": [
        {"url": "https://t.co/1", "expanded_url": "https://bit.ly/1", "unwound_url": "https://jobs.example/42"},
        {"url": "https://t.co/2", "expanded_url": "https://jobs.example/43"},
    ],
    "hashtags": [{"start": 0, "end": 5, "tag": "jobs"}],
}


def test_a_post_is_read_whole() -> None:
    """Text, links as far as X has followed them, hashtags, the author's followers, and the offer of the rule it met."""
    assert both(line(JOB, tags=("ricochet:offer/o",))) == [
        Authored(
            id=f"x:{FIRST}",
            actor="x:1",
            at=AT,
            text="We hire",
            urls=("https://jobs.example/42", "https://bit.ly/1", "https://jobs.example/43"),
            tags=("jobs",),
            followers=7,
            named="o",
        )
    ]


def test_a_long_post_is_read_to_its_end() -> None:
    """What stands behind the first 280 characters is matched too."""
    long = copy.deepcopy(JOB) | {"text": "We hi…", "entities": {}}
    long["note_tweet"] = {"text": "We hire many", "entities": {"urls": [{"expanded_url": "https://jobs.example/44"}]}}
    (one,) = both(line(long))
    assert isinstance(one, Authored)
    assert (one.text, one.urls) == ("We hire many", ("https://jobs.example/44",))


@pytest.mark.parametrize("type", ["retweeted", "reposted"])
def test_a_retweet_is_a_share_of_the_original(type: str) -> None:
    """The original comes first, for who does not know it, with the offer of the rule; through whom, X does not say."""
    told = both(line(post(SECOND, "2", "RT @acme: We", **{type: FIRST}), JOB, tags=("ricochet:offer/o",)))
    original, share = told
    assert isinstance(original, Authored)
    assert (original.id, original.named, original.beside) == (f"x:{FIRST}", "o", True)
    assert share == Shared(id=f"x:{SECOND}", actor="x:2", at=AT + 1_000, of=f"x:{FIRST}", followers=7)


def test_quotes_and_replies_name_what_is_above_them() -> None:
    """A post may be both. What stands beside it is told, and has nothing from the rule that this one met."""
    one = post(THIRD, "3", "look", "https://jobs.example/42", quoted=FIRST, replied_to=SECOND) | {
        "conversation_id": "9"
    }
    beside = post(SECOND, "2", "hm", replied_to="9") | {"conversation_id": "9"}
    told = both(line(one, JOB, beside, tags=("ricochet:offer/o", "ricochet:post/o", "somebody's")))
    assert [(of.id, of.named, of.beside) for of in told if isinstance(of, Authored)] == [
        (f"x:{FIRST}", None, True),
        (f"x:{SECOND}", None, True),
        (f"x:{THIRD}", "o", False),
    ]
    last = told[-1]
    assert isinstance(last, Authored)
    assert (last.quotes, last.replies_to, last.thread) == (f"x:{FIRST}", f"x:{SECOND}", "x:9")


def test_rules_of_several_offers_name_none() -> None:
    """Where a post meets rules of two offers, or one that leads to posts, its own words decide."""
    for tags in (("ricochet:offer/o", "ricochet:offer/p"), ("ricochet:post/o",), ("o",)):
        (one,) = seen(line(JOB, tags=tags))
        assert isinstance(one, Authored)
        assert one.named is None


def test_an_edited_post_is_its_first_version() -> None:
    """All versions have the id and the moment of the first, also where something refers to a later one."""
    versions = {"edit_history_tweet_ids": [FIRST, SECOND]}
    later = post(SECOND, "1", "We hire!") | versions
    (edited,) = both(line(later))
    assert isinstance(edited, Authored)
    assert (edited.id, edited.at, edited.text) == (f"x:{FIRST}", AT, "We hire!")
    share = both(line(post(THIRD, "2", retweeted=SECOND), later))[-1]
    assert isinstance(share, Shared)
    assert share.of == f"x:{FIRST}"


def test_what_was_asked_for_is_no_news_where_it_is_known() -> None:
    """Answers say the same as the stream, marked as asked for; a retweet need not say of what it is one."""
    bare = post(SECOND, "2")
    answer = {"data": [post(THIRD, "3", retweeted=FIRST), bare], "includes": line(JOB)["includes"]}
    told = [*X.normalise(answered(Asked("retweets", 5, FIRST), answer))]
    assert [(one.id, one.of, one.beside) for one in told if isinstance(one, Shared)] == [
        (f"x:{THIRD}", f"x:{FIRST}", True),
        (f"x:{SECOND}", f"x:{FIRST}", True),
    ]
    (found,) = X.normalise(answered(Asked("search", 5, "a query"), {"data": [JOB]}))
    assert isinstance(found, Authored)
    assert found.beside


def test_accounts_without_moments_are_a_count() -> None:
    """Who has retweeted, without when, becomes a total, and never a share."""
    told = [*X.normalise(answered(Asked("retweeted_by", 5, FIRST, accounts=3), {}))]
    assert told == [Stated(id=f"x:{FIRST}#retweeted_by-5", at=5, target=f"x:{FIRST}", shares=3)]


@pytest.mark.parametrize("host", ["https://api.twitter.com/2/problems", PROBLEMS])
def test_what_x_does_not_show_is_gone(host: str) -> None:
    """Asked about again: totals of what is there, deletion of what is not found, protected, suspended or withheld.

    Nothing of a post with a field that may not be seen, that the answer passes over, or that was not asked about.
    """
    there = copy.deepcopy(JOB)
    counts = {"retweet_count": 5, "quote_count": 2, "like_count": 9, "reply_count": 1, "impression_count": 80}
    there["public_metrics"] = counts
    shared = post(SECOND, "2", retweeted=FIRST)
    errors = [
        {"type": f"{host}/resource-not-found", "resource_type": "tweet", "value": "11", "parameter": "ids"},
        {"type": f"{host}/resource-not-found", "resource_type": "post", "resource_id": "12"},
        {"type": f"{host}/resource-not-found", "resource_type": "user", "resource_id": "13"},
        {"type": f"{host}/not-authorized-for-resource", "resource_type": "tweet", "resource_id": "14"},
        {"type": f"{host}/resource-not-found", "resource_type": "tweet", "resource_id": "15"},
        {"type": f"{host}/resource-unavailable", "resource_type": "tweet", "resource_id": "17"},
        {"type": f"{host}/not-authorized-for-field", "resource_type": "tweet", "resource_id": "18"},
        7,
    ]
    withheld = post(THIRD, "3") | {"withheld": {"copyright": False, "country_codes": ["FR"], "scope": "tweet"}}
    asked = Asked("posts", 5, ids=[FIRST, SECOND, THIRD, "11", "12", "13", "14", "16", "17", "18"])
    for posts in ([there, shared, withheld], [in_new_names(there), in_new_names(withheld)]):
        answer = {"data": posts, "errors": errors}
        stated, *gone = X.normalise(answered(asked, answer))
        assert stated == Stated(
            id=f"x:{FIRST}#totals-5", at=5, target=f"x:{FIRST}", shares=7, likes=9, replies=1, impressions=80
        )
        assert gone == [Removed(target=f"x:{id}", at=5) for id in (THIRD, "11", "12", "14", "17")]


def test_what_x_says_before_it_hangs_up_is_nothing() -> None:
    """A line of errors alone, or of what is not known yet, tells nothing and is no fault."""
    assert seen({"errors": [{"title": "operational-disconnect", "type": f"{PROBLEMS}/operational-disconnect"}]}) == []
    assert seen({"something": {"new": 1}}) == []


def test_an_unknown_field_changes_nothing() -> None:
    """X adds fields now and then."""
    more = copy.deepcopy(line(JOB)) | {"new": [1]}
    more["data"]["newer"] = {"a": None}
    assert seen(more) == seen(line(JOB))


@pytest.mark.parametrize(
    "bad",
    [
        b"{",
        b"\xff",
        b"[]",
        b'{"data":7}',
        b'{"data":{"id":"1"}}',
        b'{"data":{"id":1,"author_id":"1","created_at":"2026-01-01T00:00:00Z"}}',
        b'{"data":{"id":"1","author_id":"1","created_at":"yesterday"}}',
        json.dumps(line(post(FIRST, "1") | {"id": "1" * 600})).encode(),
        b'{"asked":{"what":"posts","at":1,"ids":[]},"answer":7}',
        b'{"data":[{"id":"1","author_id":"1","created_at":"2026-01-01T00:00:00Z","referenced_tweets":7}]}',
    ],
)
def test_what_is_no_message_is_rejected(bad: bytes) -> None:
    """Cut off, mistyped, too long: it is rejected in a word, never an exception."""
    (one,) = X.normalise(bad)
    assert isinstance(one, Rejected)


def test_one_bad_post_takes_no_other_along() -> None:
    """Of a page, what can be read is read; and who or what stands beside may be unreadable."""
    answer = {"data": [{"id": 7}, JOB], "includes": {"users": [{"id": 7}, 7], "tweets": [{"id": None}]}}
    first, second = seen(answer)
    assert isinstance(first, Rejected)
    assert isinstance(second, Authored)


NAMES = (
    *("data", "includes", "users", "tweets", "id", "author_id", "created_at", "type", "referenced_tweets", "errors"),
    *("matching_rules", "tag", "asked", "what", "at", "answer", "edit_history_tweet_ids", "entities"),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4) | st.sampled_from([FIRST, "retweeted", "quoted"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=5),
    max_leaves=12,
)


@given(JSON, st.sampled_from(["data", "includes", "matching_rules", "errors", "asked", "answer"]))
def test_nothing_makes_it_fail(value: object, name: str) -> None:
    """Whatever comes in whichever place, there is an answer; the same again gives the same."""
    message = line(post(SECOND, "2", retweeted=FIRST), JOB) | {name: value}
    assert seen(message) == seen(message)


def real() -> Path:
    """Find the folder of real payloads."""
    return needed() / "x_v2"


@pytest.mark.parametrize(
    ("name", "retweets", "others", "rejected"),
    [
        ("kpop", 78, 22, 0),
        ("brexit", 67, 33, 0),
        ("flat", 47, 53, 0),
        ("noflat", 47, 53, 0),
        ("2sets", 145, 55, 0),
        ("streaming_output_with_error", 0, 7, 1),
    ],
)
def test_real_payloads(name: str, retweets: int, others: int, rejected: int) -> None:
    """Pages, lines and posts out of their pages: every retweet is a share, the undecodable line a dead letter."""
    found = [one for raw in (real() / f"{name}.jsonl").read_bytes().splitlines() for one in X.normalise(raw)]
    told = [one for one in found if isinstance(one, Authored) and not one.beside]
    assert sum(isinstance(one, Shared) for one in found) == retweets
    assert len(told) == others
    assert sum(isinstance(one, Rejected) for one in found) == rejected
    assert all(one.followers is not None for one in found if isinstance(one, Authored | Shared))
    ids = [one.id for one in found if isinstance(one, Shared)] + [one.id for one in told]
    assert len(set(ids)) == len(ids) or name == "2sets"


def test_real_payloads_say_the_same_in_new_names() -> None:
    """The same pages with the names that X uses by now."""
    for raw in (real() / "kpop.jsonl").read_bytes().splitlines():
        both(json.loads(raw))


def test_real_edits() -> None:
    """A post before and after its edit is one post; what quotes the one and answers the other names it both times."""
    before, after = (
        one for name in ("before", "after") for one in X.normalise((real() / f"edited_{name}.jsonl").read_bytes())
    )
    assert isinstance(before, Authored)
    assert isinstance(after, Authored)
    assert (before.id, before.at) == (after.id, after.at)
    assert before.text != after.text
    quote = X.normalise((real() / "quoted_edit.jsonl").read_bytes())[-1]
    assert isinstance(quote, Authored)
    assert quote.quotes == quote.replies_to == before.id


OFFER = JobOffer(
    id="o",
    urls=("https://www.jobs.example/42/?utm_source=x&lang=en", "https://boards.greenhouse.io/acme/jobs/4012345"),
    tags=("hiring", "not one"),
    accounts=("x:1", "bluesky:did:plc:a"),
    posts=("x:5", "bluesky:at://a"),
)


def test_an_offer_has_rules() -> None:
    """Its addresses without what was added to them, its hashtags from its own accounts, and what leads to its posts."""
    roots = [Root("x:9", "o", "x:2", 9), Root("x:8", "o", "x:2", 8), Root("x:7", "closed", "x:2", 7)]
    rules = wanted([OFFER], roots)
    assert rules.left_out == 0
    assert rules.rules == (
        Rule(
            'url:"jobs.example/42?lang=en" OR url:"boards.greenhouse.io/acme/jobs/4012345" OR (#hiring from:1)',
            "ricochet:offer/o",
        ),
        Rule(
            " OR ".join(
                f'retweets_of_tweet_id:{id} OR url:"status/{id}" OR conversation_id:{id}' for id in ("5", "8", "9")
            ),
            "ricochet:post/o",
        ),
    )
    assert queries([OFFER], roots[:1]) == [
        '(url:"jobs.example/42?lang=en" OR url:"boards.greenhouse.io/acme/jobs/4012345" OR (#hiring from:1)'
        " OR conversation_id:9) -is:retweet"
    ]


def test_nothing_breaks_out_of_a_rule() -> None:
    """What would end a rule's quotes, or is no name, stands in none: an offer's text comes from outside."""
    odd = JobOffer(
        id="o",
        urls=('https://a.example/" OR cats', "no link"),
        tags=("a OR b", "c"),
        accounts=("x:1 OR b",),
        posts=("x:a b",),
    )
    assert [rule.value for rule in wanted([odd], []).rules] == ['url:"a.example/%22%20OR%20cats"']


OFFERS = st.lists(
    st.builds(
        JobOffer,
        id=st.text("abc", min_size=1, max_size=3),
        urls=st.lists(st.text("ab/", max_size=40).map("https://jobs.example/".__add__), max_size=4).map(tuple),
        posts=st.lists(st.integers(1, 99).map("x:{}".format), max_size=3).map(tuple),
    ),
    max_size=5,
    unique_by=lambda offer: offer.id,
)
ROOTS = st.lists(
    st.builds(
        Root,
        st.integers(1, 99).map("x:{}".format),
        st.text("abc", min_size=1, max_size=3),
        st.just("x:1"),
        st.integers(),
    ),
    max_size=20,
)


TWICE = JobOffer(id="a", urls=("https://jobs.example/aaaaaaaa", "https://jobs.example/aaaaaaaa/"))


@given(OFFERS, ROOTS, st.integers(0, 9), st.integers(20, 200))
@example([TWICE], [], 9, 20)
def test_rules_keep_to_their_limits(offers: list[JobOffer], roots: list[Root], most: int, longest: int) -> None:
    """Never a rule too many or too long, each for an open offer; all terms are in them, or counted as left out."""
    rules = wanted(offers, roots, most, longest)
    assert len(rules.rules) <= most <= MOST
    assert all(len(rule.value) <= longest <= LONGEST for rule in rules.rules)
    ids = {offer.id for offer in offers}
    assert all((offer_of(rule.tag) or rule.tag.removeprefix("ricochet:post/")) in ids for rule in rules.rules)
    terms = sum(rule.value.count(" OR ") + 1 for rule in rules.rules)
    assert terms + rules.left_out == sum(rule.value.count(" OR ") + 1 for rule in wanted(offers, roots).rules)
    assert wanted(reversed(offers), roots, most, longest) == rules


@given(OFFERS, OFFERS, ROOTS)
def test_changes_lead_from_one_set_of_rules_to_another(
    before: list[JobOffer], after: list[JobOffer], roots: list[Root]
) -> None:
    """What is added and removed gives the rules that are wanted, and leaves those of others alone."""
    foreign = Present("f", "cats", "somebody's")
    present = [Present(str(n), *rule) for n, rule in enumerate(wanted(before, roots).rules)] + [foreign]
    want = wanted(after, roots).rules
    added, removed = changes(present, want)
    left = [one for one in present if one.id not in removed]
    assert sorted([*added, *(Rule(one.value, one.tag) for one in left if one != foreign)]) == sorted(want)
    assert foreign in left
    assert len(added) == len(set(want) - {Rule(one.value, one.tag) for one in present})


def test_a_new_post_changes_one_rule() -> None:
    """However many posts an offer has, another one rewrites the last of its rules alone."""
    roots = [Root(f"x:{n}", "o", "x:2", n) for n in range(50, 0, -1)]
    old = wanted([OFFER], roots).rules
    new = wanted([OFFER], [Root("x:51", "o", "x:2", 51), *roots]).rules
    assert len(set(new) - set(old)) == 1
