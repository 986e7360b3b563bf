"""Reach: distinct accounts, exact or sampled, and bounds around what is not known."""

from __future__ import annotations

from math import isqrt, sqrt

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from spread.facts import Digests
from spread.reach import EXACT, Audience, Distinct, Reach, by_generation, reach

SPAN = 2**64
DIGESTS = st.one_of(st.integers(0, 40), st.integers(0, SPAN - 1), st.integers(SPAN - 5, SPAN - 1))
SETS = st.lists(st.frozensets(DIGESTS, max_size=30), max_size=6)
Sets = list[frozenset[int]]
Participant = tuple[int, int, frozenset[int]]
PARTICIPANTS = st.lists(
    st.tuples(st.integers(0, 2), st.sampled_from([-1, -1, 0, 1, 5, 50]), st.frozensets(st.integers(0, 20), max_size=8)),
    max_size=6,
)


def digests(*members: int) -> Digests:
    """Some digests, sorted."""
    return np.array(sorted(members), dtype=np.uint64)


def arrays(sets: Sets) -> list[Digests]:
    """Sets as sorted digests."""
    return [digests(*one) for one in sets]


def members(found: Distinct) -> list[int]:
    """The digests that are kept."""
    kept: list[int] = found.members.tolist()
    return kept


def audience(participants: list[Participant]) -> Audience:
    """The followers of (network, stated count, known followers); accounts of different networks differ."""
    return Audience(
        np.array([network for network, _, _ in participants], dtype=np.int64),
        np.array([stated for _, stated, _ in participants], dtype=np.int64),
        {
            place: digests(*(100 * network + one for one in known))
            for place, (network, _, known) in enumerate(participants)
            if known
        },
    )


@given(SETS, st.integers(0, 60), st.integers(2, 20))
def test_few_accounts_are_counted_exactly(sets: Sets, exact: int, k: int) -> None:
    """As long as the sets together are no larger than the limit, the union is exact."""
    assume(sum(map(len, sets)) <= exact)
    everything = frozenset().union(*sets)
    found = Distinct(arrays(sets), exact=exact, k=k)
    assert (found.sampled, found.size, members(found)) == (False, len(everything), sorted(everything))


@given(SETS, st.integers(0, 40), st.integers(1, 20))
def test_many_accounts_are_counted_by_the_smallest_digests(sets: Sets, exact: int, more: int) -> None:
    """With overlaps of any size, the union is sampled if it is beyond the limit, and exact if not."""
    k = exact + more
    everything = sorted(frozenset().union(*sets))
    found = Distinct(arrays(sets), exact=exact, k=k)
    assert found.sampled == (len(everything) >= k)
    if found.sampled:
        assert members(found) == everything[:k]
        assert found.size == (k - 1) * SPAN // (everything[k - 1] + 1)
    else:
        assert (found.size, members(found)) == (len(everything), everything)


@given(st.frozensets(DIGESTS, max_size=60), st.integers(0, 40), st.integers(2, 20), st.data())
def test_a_count_is_a_function_of_the_set(everything: frozenset[int], exact: int, k: int, data: st.DataObject) -> None:
    """However a large set is split into overlapping parts, in whatever order, its size and members are the same."""
    assume(len(everything) > exact)
    whole = Distinct(arrays([everything]), exact=exact, k=k)
    parts = [data.draw(st.frozensets(st.sampled_from(sorted(everything)))) for _ in range(data.draw(st.integers(0, 4)))]
    rest = everything.difference(*parts)
    split = Distinct(arrays(data.draw(st.permutations([*parts, rest]))), exact=exact, k=k)
    assert (split.sampled, split.size, members(split)) == (whole.sampled, whole.size, members(whole))


@given(SETS, SETS, st.integers(0, 40), st.integers(1, 20))
def test_outside_is_what_no_other_set_has(sets: Sets, others: Sets, exact: int, more: int) -> None:
    """Outside of other sets is counted exactly, or by the share of the sampled digests that are in none of them."""
    k = exact + more
    everything, theirs = frozenset().union(*sets), frozenset().union(*others)
    found = Distinct(arrays(sets), exact=exact, k=k)
    outside = found.outside(arrays(others))
    if found.sampled:
        smallest = set(sorted(everything)[:k])
        assert outside == len(smallest - theirs) * found.size // k
    else:
        assert outside == len(everything - theirs)


@pytest.mark.parametrize("seed", range(20))
def test_a_sampled_count_is_near(seed: int) -> None:
    """For random digests the size, and what is outside of a part, are within four standard errors."""
    n, k = 20_000, 1_026
    rng = np.random.default_rng(seed)
    every = np.unique(rng.integers(0, SPAN, n, dtype=np.uint64, endpoint=False))
    error = 4 * n / sqrt(k - 2)
    parts = [np.sort(rng.choice(every, n // 2, replace=False)) for _ in range(3)]
    found = Distinct([*parts, every], exact=5_000, k=k)
    assert found.sampled
    assert abs(found.size - len(every)) <= error
    third = np.sort(rng.choice(every, n // 3, replace=False))
    assert abs(found.outside([third]) - (len(every) - len(third))) <= error


def test_a_million_is_exact_and_more_is_near() -> None:
    """A million accounts are counted one by one, however they overlap; beyond that the count is within 2 %."""
    rng = np.random.default_rng(7)
    every = rng.permutation(np.unique(rng.integers(0, SPAN, 1_500_100, dtype=np.uint64, endpoint=False)))
    most = np.sort(every[:EXACT])
    found = Distinct([most[:600_000], most[400_000:]])
    assert (found.sampled, found.size) == (False, EXACT)
    assert found.outside([most[:100_000]]) == 900_000

    over = Distinct([most, np.sort(every[EXACT - 10 : EXACT + 1])])
    assert over.sampled
    assert abs(over.size - EXACT) <= 0.02 * EXACT

    many = [np.sort(every[:800_000]), np.sort(every[700_000:1_500_000])]
    found = Distinct(many)
    assert found.sampled
    assert abs(found.size - 1_500_000) <= 0.02 * 1_500_000
    again = Distinct([np.sort(every[:1_500_000])])
    assert again.size == found.size
    assert np.array_equal(again.members, found.members)
    assert abs(found.outside(many[:1]) - 700_000) <= 0.02 * 1_500_000


def test_a_reach_counted_by_hand() -> None:
    """The bounds, the estimate and what is beyond the authors are those counted by hand."""
    first, second = (0, 10, frozenset({1, 2, 3, 4})), (0, 6, frozenset({3, 4}))
    # 4 known; the larger of 10 and 6; 16 * 4 / 6 = 10.7; 10 + 6; 3 and 4 follow no author
    assert reach(audience([first, second]), [digests(1, 2)]) == Reach(4, 10, 11, 16, 2)
    # nobody known: the geometric mean of 9 and 13 is 10.8
    assert reach(audience([(0, 4, frozenset()), (0, 9, frozenset())]), None) == Reach(0, 9, 10, 13, None)
    # one says 10, of the other nothing is known: nothing above the lower bound can be said
    assert reach(audience([first, (0, -1, frozenset())]), None) == Reach(4, 10, None, None, None)
    # a list longer than the stated count counts for more
    assert reach(audience([(0, 1, frozenset({1, 2, 3}))]), None) == Reach(3, 3, 3, 3, None)
    # two networks: 10, 11 and 16 of the one, 5, 5 and 5 of the other
    both = [first, second, (1, 5, frozenset({1}))]
    assert reach(audience(both), [digests(1, 2)]) == Reach(5, 15, 16, 21, 3)
    assert reach(audience([]), None) == Reach(0, 0, 0, 0, None)


def plain_reach(participants: list[Participant]) -> tuple[int, int, int | None, int | None]:
    """The same by the definition, over plain sets."""
    known_of_all, low, estimate, high, whole = 0, 0, 0, 0, True
    for network in {network for network, _, _ in participants}:
        mine = [(max(stated, len(known) or -1), known) for at, stated, known in participants if at == network]
        known = len(frozenset().union(*(known for _, known in mine)))
        known_of_all += known
        at_least = max(known, *(a for a, _ in mine), 0)
        low += at_least
        if any(a < 0 for a, _ in mine):
            whole = False
            continue
        total, summed = sum(a for a, _ in mine), sum(len(known) for _, known in mine)
        at_most = max(at_least, total)
        # the nearest integer, a half upwards
        guess = (2 * total * known + summed) // (2 * summed) if summed else isqrt(at_least * at_most)
        high += at_most
        estimate += min(max(guess, at_least), at_most)
    return known_of_all, low, estimate if whole else None, high if whole else None


@given(PARTICIPANTS)
def test_reach_is_its_definition(participants: list[Participant]) -> None:
    """Known, low, estimate and high follow the definition, in this order of size, network by network."""
    found = reach(audience(participants), None)
    assert (found.known, found.low, found.estimate, found.high) == plain_reach(participants)
    assert found.known <= found.low
    unknown = any(stated < 0 and not known for _, stated, known in participants)
    assert (found.estimate is None) == (found.high is None) == unknown
    if found.estimate is not None and found.high is not None:
        assert found.low <= found.estimate <= found.high


@given(PARTICIPANTS)
def test_networks_are_summed(participants: list[Participant]) -> None:
    """The reach of several networks is the sum of the reach of each."""
    each = [reach(audience([p for p in participants if p[0] == network]), None) for network in range(3)]
    found = reach(audience(participants), None)
    assert found.known == sum(one.known for one in each)
    assert found.low == sum(one.low for one in each)
    estimates, highs = [one.estimate for one in each], [one.high for one in each]
    assert found.estimate == (None if None in estimates else sum(filter(None, estimates)))
    assert found.high == (None if None in highs else sum(filter(None, highs)))


@given(PARTICIPANTS, st.none() | st.lists(st.frozensets(st.integers(0, 120), max_size=5), max_size=3))
def test_beyond_needs_the_followers_of_every_author(participants: list[Participant], authors: Sets | None) -> None:
    """Beyond are the known who follow no author; it is not said unless some followers of each author are known."""
    followers = audience(participants)
    found = reach(followers, None if authors is None else arrays(authors))
    if not authors or not all(authors):
        assert found.beyond is None
    else:
        known = {one for listed in followers.known.values() for one in listed.tolist()}
        assert found.beyond == len(known.difference(*authors))


@given(st.lists(SETS, max_size=5))
def test_generations_count_who_is_reached_first(generations: list[Sets]) -> None:
    """Each generation counts the accounts that no earlier one reached."""
    news = by_generation([arrays(sets) for sets in generations])
    reached: set[int] = set()
    for sets, new in zip(generations, news, strict=True):
        before = len(reached)
        reached.update(*sets)
        assert new == len(reached) - before
