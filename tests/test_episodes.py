"""Episodes: hysteresis over scores, against a machine that goes minute by minute."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from spread.episodes import END, Episode, episodes

CALM, REST = 60, 360
SCORES = st.lists(
    st.tuples(st.sampled_from([0.0, END - 0.01, END, 0.7, 0.99, 1.0, 5.0]), st.integers(1, 200)), max_size=20
).map(lambda runs: [score for score, minutes in runs for _ in range(minutes)])


def machine(scores: list[float]) -> list[Episode]:
    """Go minute by minute."""
    found: list[Episode] = []
    holds, calm = False, 0
    for minute, score in enumerate(scores):
        calm = calm + 1 if score < END else 0
        if score >= 1:
            holds = True
        elif calm >= CALM:
            holds = False
        is_open = bool(found) and found[-1].end is None
        if not holds and is_open:
            found[-1] = Episode(found[-1].start, minute)
        elif holds and not is_open and (not found or minute >= found[-1].start + REST):
            found.append(Episode(minute, None))
    return found


@given(SCORES)
def test_episodes_are_those_of_the_machine(scores: list[float]) -> None:
    """They begin at the threshold, end after an hour below half of it, and rest for six hours."""
    assert episodes(np.array(scores)) == machine(scores)


@given(st.lists(st.sampled_from([0.0, 0.4, 0.6, 1.0, 2.0]), min_size=1, max_size=3_000))
def test_a_flapping_score_makes_no_storm(scores: list[float]) -> None:
    """However a score jumps from minute to minute, beginnings are six hours apart at least."""
    starts = [episode.start for episode in episodes(np.array(scores))]
    assert all(later - earlier >= REST for earlier, later in pairwise(starts))


def test_an_alternating_score_is_one_episode() -> None:
    """A score that crosses the threshold and falls to nothing every few minutes holds all the while."""
    assert episodes(np.array([0.0, 1.2, 0.0, 0.0, 1.1] * 300)) == [Episode(1, None)]
    assert episodes(np.array([1.0] + [0.0] * 60)) == [Episode(0, 60)]
    assert episodes(np.array([1.0] + [0.0] * 59)) == [Episode(0, None)]
    assert episodes(np.array([0.99] * 100)) == []
