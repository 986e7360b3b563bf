"""What is worth calling somebody for: ten conditions of an offer, decided here and nowhere else.

Each is a function of the offer's facts and of `now`: of a score for each minute since the first post, in event time,
with hysteresis over these (`spread.episodes`). So neither the order in which facts came nor how often anybody asked
changes what holds, and late facts change the past as if they had come in time. Thresholds are in `spread.thresholds`.
"""

from collections.abc import Callable
from typing import Final

import msgspec
import numpy as np

from spread.episodes import END, Episode, Scores, episodes
from spread.thresholds import DEFAULTS, Thresholds
from spread.timeline import Counts, Minutes, Timeline, Which, later, within
from spread.usual import Usual

FRESH_MS: Final = 30 * 60_000
"""A condition fires only if it began less than this ago: what is found out later is history, and calls nobody."""
HALF_HOUR, HOUR, DAY = 30, 60, 24 * 60  # minutes
_QUIET_UNTIL: Final = 5 * DAY
_LULL, _LULLS = 3 * HOUR, 12 * HOUR
_JOINED: Final = 6 * HOUR
_BELOW: Final = (1 + END) / 2
"""A score between end and beginning: it lets stand what is."""

Values = dict[str, float | str]
"""The figures that a condition was decided from, by name."""


class Setting(msgspec.Struct, frozen=True):
    """What is known of an offer beside how it spreads. `ends`: when it closes or closed, in ms."""

    ends: int | None = None
    usual: Usual | None = None
    thresholds: Thresholds = DEFAULTS


class Standing(msgspec.Struct, frozen=True):
    """One condition at a moment. `since` (ms) and `values` are of when it began, if it holds."""

    condition: str
    since: int | None
    values: Values

    def is_fresh(self, now: int) -> bool:
        """Whether it holds and began so lately that it is news at `now` (ms)."""
        return self.since is not None and now - self.since < FRESH_MS


class Span(msgspec.Struct, frozen=True):
    """A time (ms) over which a condition held; `end` is None while it holds."""

    start: int
    end: int | None
    values: Values


class _Told(msgspec.Struct, frozen=True):
    """The scores of a condition, and what its figures are by minute."""

    scores: Scores
    figures: dict[str, Counts | Scores]


class _Course:
    """An offer minute by minute."""

    def __init__(self, of: Timeline, setting: Setting, now: int) -> None:
        self.of, self.setting, self.limits = of, setting, setting.thresholds
        self.minutes = Minutes(int(of.at[0]), now)
        self.shares = self.minutes.counted(of.at[of.is_share])

    def counted(self, which: Which) -> Counts:
        """The shares of a kind in all by each minute."""
        return self.minutes.counted(self.of.at[which & self.of.is_share])

    def age(self) -> Counts:
        """Since the first post, in ms."""
        return self.minutes.moments() - int(self.of.at[0])

    def nothing(self) -> _Told:
        """A condition that can't be told of this offer."""
        return _Told(np.zeros(self.minutes.n), {})


def _takes_off(course: _Course) -> _Told:
    """Far faster than its own day before, and than a busy one of the company's past offers at that age."""
    limits, usual = course.limits, course.setting.usual
    recent = within(course.shares, HALF_HOUR)
    earlier = later(course.shares, HALF_HOUR)
    halves = np.clip((course.age() / 60_000 - HALF_HOUR) / HALF_HOUR, 1, DAY / HALF_HOUR)
    own = within(earlier, DAY) / halves
    needed = np.maximum(limits.takes_off_shares, limits.takes_off_times * own)
    figures: dict[str, Counts | Scores] = {"shares_in_30_min": recent, "usual_in_30_min": own}
    if usual is not None:
        busy = usual.busy_at(course.age()) * HALF_HOUR
        needed = np.maximum(needed, limits.takes_off_over_busy * busy)
        figures["past_offers_in_30_min"] = busy
    return _Told(recent / needed, figures)


def _viral(course: _Course) -> _Told:
    """Many, fast, and passed on from one to the next, as far as that can be known."""
    limits = course.limits
    known, passed = course.counted(course.of.known_parent), course.counted(course.of.passed_on)
    hour = within(course.shares, HOUR)
    is_known = known >= limits.known_parents
    enough = np.where(is_known, limits.viral_shares, 2 * limits.viral_shares)
    passed_on = np.where(is_known, passed / np.maximum(known, 1) / limits.viral_passed_on, 1.0)
    score = np.minimum(np.minimum(course.shares / enough, hour / limits.viral_shares_an_hour), passed_on)
    return _Told(score, {"shares": course.shares, "shares_in_1_h": hour, "known_parents": known, "passed_on": passed})


def _left_its_own_followers(course: _Course) -> _Told:
    """People who do not have it from the author pass it on."""
    limits = course.limits
    known, passed = (within(course.counted(which), DAY) for which in (course.of.known_parent, course.of.passed_on))
    part = passed / np.maximum(known, 1)
    score = np.minimum(passed / limits.left_shares, part / limits.left_part)
    score = np.where(known >= limits.known_parents, score, np.minimum(score, _BELOW))
    return _Told(score, {"passed_on_in_24_h": passed, "known_parents_in_24_h": known})


def _second_wave(course: _Course) -> _Told:
    """After a first wave and a lull, another one that is half as high or more."""
    limits = course.limits
    hour, three = within(course.shares, HOUR), within(course.shares, _LULL)
    highest = np.maximum.accumulate(hour)
    before_lull, first = later(highest, _LULL), later(highest, _LULL + HOUR)
    needed = np.maximum(limits.second_wave_shares, limits.second_wave_part * first)
    score = np.where(first >= limits.second_wave_shares, hour / needed, 0.0)
    lull = three <= limits.second_wave_lull * before_lull * _LULL / HOUR
    lull &= before_lull >= limits.second_wave_shares
    after_lull = within(later(lull.cumsum(), HOUR), _LULLS) > 0
    return _Told(
        np.where(after_lull, score, np.minimum(score, _BELOW)), {"shares_in_1_h": hour, "first_wave_in_1_h": first}
    )


def _jumped_to_another_network(course: _Course) -> _Told:
    """Shared on a network where it was not, after it had spread elsewhere."""
    of, limits = course.of, course.limits
    most = np.zeros(course.minutes.n, dtype=np.int64)
    where = np.zeros_like(most)
    for place in np.unique(of.network[of.is_share]).tolist():
        there = of.network == place
        first = of.at[there.argmax()]
        if int((of.is_share & (of.at < first)).sum()) >= limits.jumped_after:
            day = within(course.counted(there), DAY)
            where = np.where(day > most, place, where)
            most = np.maximum(day, most)
    return _Told(most / limits.jumped_shares, {"shares_there_in_24_h": most, "network": where})


def _a_big_account_joined(course: _Course) -> _Told:
    """Somebody shared it who has more followers than all who had shared it before."""
    of, limits = course.of, course.limits
    before = np.concatenate(([0], of.followers.cumsum()))[np.searchsorted(of.at, of.at)]
    big = of.is_share & (of.followers >= limits.big_account_followers)
    big &= of.followers >= limits.big_account_part * before
    joined = np.zeros(course.minutes.n, dtype=np.int64)
    sums = np.zeros_like(joined)
    places = course.minutes.place(of.at)
    for node in sorted(big.nonzero()[0].tolist(), key=lambda node: (of.at[node], of.followers[node])):
        span = slice(int(places[node]), int(places[node]) + _JOINED)
        joined[span], sums[span] = of.followers[node], before[node]
    return _Told((joined > 0).astype(float), {"followers": joined, "followers_before": sums})


def _spreads_although_closed(course: _Course) -> _Told:
    """Shared on although nobody can apply any more."""
    ends = course.setting.ends
    if ends is None:
        return course.nothing()
    late = within(course.counted(course.of.at > ends), DAY)
    return _Told(late / course.limits.closed_shares, {"shares_in_24_h": late})


def _clicks_without_applications(course: _Course) -> _Told:
    """People look, and do not apply: the page, the form or the offer itself puts them off."""
    limits = course.limits
    clicks, applications = (
        within(course.minutes.counted(*of), 3 * DAY) for of in (course.of.clicks, course.of.applications)
    )
    allowed = limits.applications_part * clicks
    fall = np.where(applications <= allowed, 1.0, np.where(applications <= 2 * allowed, _BELOW, 0.0))
    score = np.minimum(clicks / limits.clicks, 1.0 if not len(fall) else fall)
    return _Told(score, {"clicks_in_72_h": clicks, "applications_in_72_h": applications})


def _gone_quiet_early(course: _Course) -> _Told:
    """Nothing moves any more, while it has far fewer shares than the company's past offers had at that age."""
    limits, usual, ends = course.limits, course.setting.usual, course.setting.ends
    if usual is None:
        return course.nothing()
    age = course.age()
    median = usual.total_at(age)
    window = limits.quiet_hours * HOUR
    quiet = (within(course.shares, window) == 0) & (course.shares < limits.quiet_part * median)
    quiet &= median >= limits.quiet_past_shares
    quiet &= (age >= limits.quiet_after_hours * HOUR * 60_000) & (age < _QUIET_UNTIL * 60_000)
    if ends is not None:
        quiet &= course.minutes.moments() < ends
    return _Told(quiet.astype(float), {"shares": course.shares, "past_offers": median})


def _depends_on_one_account(course: _Course) -> _Told:
    """Most of the day's shares hang on one that is not the author's."""
    limits = course.limits
    day, below = within(course.shares, DAY), within(course.counted(course.of.below_one), DAY)
    part = below / np.maximum(day, 1) / limits.one_account_part
    return _Told(np.minimum(day / limits.one_account_shares, part), {"shares_in_24_h": day, "below_one_in_24_h": below})


CONDITIONS: Final[dict[str, Callable[[_Course], _Told]]] = {
    "takes_off": _takes_off,
    "viral": _viral,
    "left_its_own_followers": _left_its_own_followers,
    "second_wave": _second_wave,
    "jumped_to_another_network": _jumped_to_another_network,
    "a_big_account_joined": _a_big_account_joined,
    "spreads_although_closed": _spreads_although_closed,
    "clicks_without_applications": _clicks_without_applications,
    "gone_quiet_early": _gone_quiet_early,
    "depends_on_one_account": _depends_on_one_account,
}
"""By name, as the label `condition` has it."""
NAMES: Final = tuple(CONDITIONS)


def standings(of: Timeline, setting: Setting, now: int) -> list[Standing]:
    """What holds of an offer at `now` (ms), as of the last whole minute: one for each condition."""
    found = []
    for name, spans in history(of, setting, now).items():
        last = spans[-1] if spans and spans[-1].end is None else None
        found.append(Standing(name, last.start, last.values) if last else Standing(name, None, {}))
    return found


def history(of: Timeline, setting: Setting, now: int) -> dict[str, list[Span]]:
    """By condition, the times at which it held until `now` (ms)."""
    course = _Course(of, setting, now) if len(of.at) and of.at[0] <= now else None
    if course is None or not course.minutes.n:
        return {name: [] for name in CONDITIONS}
    return {name: _held(course, tell(course)) for name, tell in CONDITIONS.items()}


def _held(course: _Course, told: _Told) -> list[Span]:
    minutes = course.minutes

    def span(episode: Episode) -> Span:
        end = None if episode.end is None else minutes.moment(episode.end)
        return Span(minutes.moment(episode.start), end, values(episode.start))

    def values(place: int) -> Values:
        figures = {name: round(float(figure[place]), 3) for name, figure in told.figures.items()}
        if "network" in figures:
            return {**figures, "network": course.of.networks[int(figures["network"])]}
        return {**figures}

    return [span(episode) for episode in episodes(told.scores)]
