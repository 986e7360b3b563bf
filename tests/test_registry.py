"""The life of a job offer, as a function of its dates and of now; and what an import changes."""

from hypothesis import given
from hypothesis import strategies as st

from spread.events import DAY_MS
from spread.registry import CLOSING_MS, JobOffer, State, changes, read_again

NOON = 1_700_000_000_000
FEED = "https://acme.example/feed"


def test_an_offer_is_open_then_closing_then_closed() -> None:
    """It is closing for the last week, open to its last millisecond, and closed after."""
    offer = JobOffer(id="o", closes=NOON)
    assert offer.state(NOON - CLOSING_MS - 1) is State.OPEN
    assert offer.state(NOON - CLOSING_MS) is State.CLOSING
    assert offer.state(NOON) is State.CLOSING
    assert offer.state(NOON + 1) is State.CLOSED
    assert JobOffer(id="o").state(NOON) is State.OPEN


def test_what_vanished_from_its_source_is_closed() -> None:
    """An offer that is no longer where it was read closed then, whatever its own date says; others stay."""
    known = [JobOffer(id="a", source=FEED, closes=NOON + DAY_MS), JobOffer(id="b", source="offers.yaml")]
    (gone,) = changes(known, [], FEED, NOON)
    assert (gone.id, gone.closed) == ("a", NOON)
    assert gone.state(NOON) is State.CLOSED
    assert changes([gone, known[1]], [], FEED, NOON + DAY_MS) == []


def test_what_comes_back_is_re_posted() -> None:
    """An offer that closed and is read again is re-posted, and closes by its date as any other."""
    closed = JobOffer(id="a", source=FEED, closed=NOON)
    (back,) = changes([closed], [JobOffer(id="a", closes=NOON + 30 * DAY_MS)], FEED, NOON + 5)
    assert (back.closed, back.reposted) == (None, NOON + 5)
    assert back.state(NOON + 5) is State.REPOSTED
    assert back.state(NOON + 29 * DAY_MS) is State.CLOSING
    assert changes([back], [JobOffer(id="a", closes=NOON + 30 * DAY_MS)], FEED, NOON + 6) == []


def test_a_later_date_re_posts_too() -> None:
    """An offer whose date had passed and has a new one is re-posted, when its source says so, else when it is read."""
    known = JobOffer(id="a", source=FEED, posted=NOON - 40 * DAY_MS, closes=NOON - 10 * DAY_MS)
    dated = read_again(known, JobOffer(id="a", posted=NOON - DAY_MS, closes=NOON + 60 * DAY_MS), NOON)
    assert dated.reposted == NOON - DAY_MS
    undated = read_again(known, JobOffer(id="a", posted=known.posted, closes=NOON + 60 * DAY_MS), NOON)
    assert undated.reposted == NOON


def test_only_what_differs_is_changed() -> None:
    """An import gives the offers that are new or other than before, by id, with where they were read."""
    known = [JobOffer(id="a", title="A", source=FEED), JobOffer(id="b", title="B", source=FEED)]
    read = [JobOffer(id="c", title="C"), JobOffer(id="b", title="B2"), JobOffer(id="a", title="A")]
    assert changes(known, read, FEED, NOON) == [
        JobOffer(id="b", title="B2", source=FEED),
        JobOffer(id="c", title="C", source=FEED),
    ]


dates = st.none() | st.integers(0, 20)
offers = st.builds(
    lambda id, title, posted, closes: JobOffer(id=id, title=title, posted=posted, closes=closes),
    st.sampled_from("abcd"),
    st.sampled_from(["x", "y"]),
    dates,
    dates,
)
imports = st.lists(offers, max_size=4, unique_by=lambda offer: offer.id)


@given(st.lists(st.tuples(st.sampled_from("fg"), imports), max_size=6))
def test_an_import_done_twice_changes_nothing(steps: list[tuple[str, list[JobOffer]]]) -> None:
    """After any history, what is read again at once changes nothing, and what a source lacks is closed."""
    known: dict[str, JobOffer] = {}
    for now, (source, read) in enumerate(steps):
        known.update((offer.id, offer) for offer in changes(known.values(), read, source, now))
        assert changes(known.values(), read, source, now) == []
        here = {offer.id for offer in read}
        for offer in known.values():
            assert offer.source != source or offer.id in here or offer.state(now) is State.CLOSED
        for offer in read:
            assert known[offer.id].ended(now) == offer.ended(now)
