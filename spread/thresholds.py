"""Every threshold of `spread.conditions`, with its reason. docs/conditions.md says how often each would have fired.

A condition has a score of 1 at its thresholds; `spread.episodes` says when it begins and ends.
"""

from typing import Final

import msgspec


class Thresholds(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """When each condition holds. Counts are of living shares and quotes."""

    takes_off_shares: int = 10
    """In half an hour. Nine of ten cascades never have ten shares at all."""
    takes_off_times: float = 3.0
    """As many as the offer's own usual half hour of the day before. Counts that vary by chance alone seldom treble."""
    takes_off_over_busy: float = 1.5
    """As many as a busy one of the company's past offers had at that age, where enough of them are known."""
    viral_shares: int = 100
    """In all. About one in a hundred cascades comes so far."""
    viral_shares_an_hour: int = 30
    """It spreads still, and faster than people of one office could."""
    viral_passed_on: float = 0.3
    """Of the shares whose parent is known, those that came from another than the author: a broadcast has none."""
    left_shares: int = 10
    """Shares in a day of somebody who had it from another than the author."""
    left_part: float = 0.3
    """Of the day's shares with a known parent. Below, the author's own followers carry it."""
    known_parents: int = 20
    """With fewer known parents nothing is said of how it was passed on; then viral takes twice the shares."""
    second_wave_shares: int = 10
    """In an hour, and before it in the busiest hour of the first wave: fewer make no wave."""
    second_wave_part: float = 0.5
    """Of the first wave's busiest hour."""
    second_wave_lull: float = 0.1
    """Of that hour's rate, at the most, for three hours between the waves; a night is often such a lull."""
    jumped_shares: int = 5
    """In a day on the new network; one or two are people who are on both."""
    jumped_after: int = 10
    """Shares elsewhere before the first there. A company that posts on two networks at once has not jumped."""
    big_account_followers: int = 10_000
    """One sharer in twenty-seven has as many in the threads of news on Twitter that we tried."""
    big_account_part: float = 1.0
    """Of the sum of all followers that had it until then: it doubles who may see it."""
    closed_shares: int = 3
    """In a day. One or two come late to every offer, three say that it is on its way."""
    clicks: int = 50
    """In three days, without an application: if one in fourteen applies as a rule, chance does so once in forty."""
    applications_part: float = 0.01
    """Of the clicks: up to this many count as none."""
    quiet_hours: int = 12
    """Without a share, while the offer is open and in its first five days."""
    quiet_part: float = 0.3
    """Of the median of the past offers of the company at that age; where that is not known, nothing is quiet."""
    quiet_past_shares: int = 5
    """The median must be this much: where offers get two shares, one is no silence."""
    quiet_after_hours: int = 24
    """Not before this age: an evening's post wakes up the next morning."""
    one_account_shares: int = 20
    """In a day."""
    one_account_part: float = 0.5
    """Of them below one account that is not the author: without it, half would not be."""


DEFAULTS: Final = Thresholds()
