"""Which offer a post belongs to: each rule, which is stronger, what is only near, and why."""

from random import Random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spread.matching import Guess, Match, Mention, Registry, Rule, match
from spread.registry import JobOffer

DATA = JobOffer(
    id="data-42",
    title="Data Engineer (m/w/d)",
    company="Acme Robotics",
    place="Lyon",
    urls=("https://boards.greenhouse.io/acme/jobs/4012345", "https://acme.example/jobs/data"),
    tags=("AcmeData",),
    accounts=("x:100", "bluesky:did:plc:acme"),
    posts=("x:555",),
)
COOK = JobOffer(
    id="cook-7",
    title="Chef de partie H/F",
    company="Bistro Élan",
    place="Paris",
    urls=("https://elan.example/chef",),
    tags=("#ÉlanRecrute",),
    accounts=("x:200",),
)
REGISTRY = Registry([DATA, COOK])


def found(text: str = "", account: str = "x:1", id: str = "x:9", **more: tuple[str, ...]) -> Match:
    """Match a post."""
    return match(Mention(id=id, account=account, text=text, **more), REGISTRY)


def test_the_networks_rule_names_the_offer() -> None:
    """A rule's tag that is an offer's id decides, before any link; one that is no offer's says nothing."""
    named = found(rule_tags=("other", "data-42"), urls=("https://elan.example/chef",))
    assert (named.offer, named.confidence) == ("data-42", 1.0)
    assert "rule" in named.reason
    assert found(rule_tags=("other",)).offer is None


def test_a_listed_post_is_the_offers() -> None:
    """The offer that lists a post has it, whatever the post says."""
    listed = found(id="x:555", urls=("https://elan.example/chef",))
    assert (listed.offer, listed.confidence) == ("data-42", 1.0)
    assert "x:555" in listed.reason


@pytest.mark.parametrize(
    "url",
    [
        "https://job-boards.greenhouse.io/acme/jobs/4012345?gh_src=abc",
        "https://careers.acme.example/?gh_jid=4012345",
        "http://www.acme.example/jobs/data/?utm_source=x",
    ],
)
def test_a_link_in_any_form_leads_to_its_offer(url: str) -> None:
    """A link among the post's or in its text is compared in canonical form, and the reason names it."""
    for linked in (found(urls=(url,)), found(text=f"We are hiring ({url}).")):
        assert (linked.offer, linked.confidence) == ("data-42", 0.95)
        assert "links to" in linked.reason


def test_a_post_with_links_to_several_offers_has_one() -> None:
    """The first link decides; the other offers are named beside it."""
    both = found(urls=("https://elan.example/chef", "https://acme.example/jobs/data"))
    assert (both.offer, both.also) == ("cook-7", ("data-42",))


def test_a_hashtag_counts_from_the_offers_own_accounts() -> None:
    """From one of its accounts a hashtag decides, in any case and with any accents; from others it is a near miss."""
    for tag in ("ÉlanRecrute", "#elanrecrute", "ELANRECRUTE"):
        own = found(tags=(tag,), account="x:200")
        assert (own.offer, own.confidence) == ("cook-7", 0.8)
    other = found(tags=("elanrecrute",), account="x:100")
    assert other.offer is None
    assert [(one.offer, one.confidence, one.rule) for one in other.near] == [("cook-7", 0.4, Rule.TAG)]


def test_a_title_needs_to_be_somebodys() -> None:
    """A title in the text decides where the account or the company's name says whose it is; else it is near."""
    own = found("We look for a data engineer!", account="x:100")
    named = found("Acme Robotics: DATA-ENGINEER wanted")
    placed = found("acme robotics wants a data engineer in Lyon")
    assert (own.offer, named.offer, placed.offer) == ("data-42",) * 3
    assert named.confidence < own.confidence == placed.confidence < 0.8
    assert "in Lyon" in placed.reason
    alone = found("Once I was a data engineer")
    assert (alone.offer, alone.near[0].offer, alone.near[0].rule) == (None, "data-42", Rule.TITLE)
    assert "nothing says whose" in alone.near[0].reason


def test_a_title_may_be_written_otherwise() -> None:
    """Accents, case, marks such as H/F and a slip of the pen don't matter; another title does."""
    assert found("Le bistro elan cherche un·e CHEF DE PARTIE (F/H)").offer == "cook-7"
    assert found("Bistro Élan: chef de partle").offer == "cook-7"
    assert found("Bistro Élan cherche: chef de rang, chef de salle").offer is None
    assert found("Acme Robotics: engineer of data").offer is None


def test_nothing_leads_nowhere() -> None:
    """A post that says nothing of any offer matches none, without near misses, and the reason says so."""
    assert found("Lovely weather", tags=("sun",), urls=("https://weather.example",)) == Match(
        reason="nothing in the post leads to an offer"
    )
    assert match(Mention(id="x:1", account="x:1"), Registry()).offer is None


def twins(**of_second: object) -> Registry:
    """Two offers of one employer with the same hashtag and title."""
    first = JobOffer(id="a", title="Data Engineer", place="Lyon", company="Acme", tags=("acme",), accounts=("x:1",))
    return Registry([first, msgspec.structs.replace(first, id="b", **of_second)])


def test_what_is_found_alike_is_left_to_a_person() -> None:
    """Where weak rules find several offers and the text tells none apart, all are near misses."""
    for mention in (
        Mention(id="x:2", account="x:1", tags=("acme",)),
        Mention(id="x:2", account="x:3", text="Acme: data engineer"),
    ):
        both = match(mention, twins())
        assert (both.offer, [one.offer for one in both.near]) == (None, ["a", "b"])
        assert "2 offers are as likely" in both.reason


def test_the_text_tells_apart_what_a_hashtag_does_not() -> None:
    """Of offers under one hashtag the one whose title is there wins, the longest of those; so does the place."""
    by_title = match(
        Mention(id="x:2", account="x:1", tags=("acme",), text="a senior data engineer"),
        twins(title="Senior Data Engineer"),
    )
    assert (by_title.offer, by_title.confidence, [one.offer for one in by_title.near]) == ("b", 0.8, ["a"])
    by_place = match(Mention(id="x:2", account="x:1", text="data engineer in Nantes"), twins(place="Nantes"))
    assert by_place.offer == "b"


def test_the_registry_forgets_what_an_offer_no_longer_says() -> None:
    """After an offer has changed or gone, nothing that pointed to it before does."""
    registry = Registry([DATA, COOK])
    registry.put(JobOffer(id="data-42", title="Painter", urls=("https://acme.example/jobs/painter",)))
    assert registry.linked("https://acme.example/jobs/data?utm_source=x") == ()
    assert (registry.tagged("acmedata"), registry.listing("x:555")) == ((), ())
    assert registry.worded(["data", "engineer"]) == []
    assert registry.linked("https://acme.example/jobs/painter/") == ("data-42",)
    registry.drop("data-42")
    registry.drop("data-42")
    assert (list(registry), registry.worded(["painter"])) == (["cook-7"], [])


words = st.sampled_from(["data", "engineer", "senior", "chef", "acme", "élan", "lyon", "de", "https://a.example/1"])
texts = st.lists(words, max_size=6).map(" ".join)
names = st.lists(st.sampled_from(["x:1", "x:2", "t", "u", "https://a.example/1", "https://a.example/2"]), max_size=2)
offers = st.builds(
    lambda id, title, company, place, urls, tags, accounts, posts: JobOffer(
        id=id, title=title, company=company, place=place, urls=urls, tags=tags, accounts=accounts, posts=posts
    ),
    st.sampled_from("abc"),
    texts,
    texts,
    texts,
    *[names.map(tuple)] * 4,
)
mentions = st.builds(
    lambda id, account, text, urls, tags, rules: Mention(
        id=id, account=account, text=text, urls=urls, tags=tags, rule_tags=rules
    ),
    st.sampled_from(["x:1", "x:2"]),
    st.sampled_from(["x:1", "x:2"]),
    texts | st.text(),
    names.map(tuple),
    names.map(tuple) | st.lists(st.text(), max_size=2).map(tuple),
    st.lists(st.sampled_from("abz"), max_size=2).map(tuple),
)


@given(st.lists(offers, max_size=5), mentions, st.randoms())
def test_a_match_depends_on_the_offers_alone(put: list[JobOffer], mention: Mention, random: Random) -> None:
    """Whatever came and went before and in whatever order, the same offers give the same match, and a sound one."""
    registry = Registry(put)
    left = list(registry.values())
    random.shuffle(left)
    result = match(mention, registry)
    assert result == match(mention, Registry(left))
    assert result.reason
    assert 0 <= result.confidence <= 1
    assert (result.offer is None) == (result.confidence < 0.6)
    named = [result.offer, *result.also, *(one.offer for one in result.near)]
    assert len({*named}) == len(named)
    assert {*named} - {None} <= set(registry)
    assert all(isinstance(one, Guess) and one.reason for one in result.near)
