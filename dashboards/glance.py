"""Offers at a glance: what is alive, what takes off, and whether the data can be trusted."""

from grafana_foundation_sdk.builders import dashboard

from dashboards import frame
from dashboards.panels import BLUE, GREEN, ORANGE, RED, bars, course, number, rows, states

_MINE = 'offer=~"$offer"'
_NOW = f"offer:ricochet_offer_shares_per_minute:max{{{_MINE}}}"
_DAY = f"offer:ricochet_offer_shares_per_minute:avg1d{{{_MINE}}}"
_TOLD = f"offer_condition:ricochet_offer_condition:told{{{_MINE}}}"
_NAMED = "* on (offer) group_left (title, company) offer:ricochet_offer_info:max"
_AT_LEAST = f'offer_bound:ricochet_offer_reach_accounts:max{{{_MINE},bound="low"}}'
_TOP = f"topk(7, max_over_time({_NOW}[$__range] @ end()))"


def board() -> dashboard.Dashboard:
    """The dashboard."""
    made = frame.board(
        "ricochet-glance",
        "Offers at a glance",
        "What is alive, what takes off, and how far it goes; at the foot, whether the data is whole.",
        [frame.company(), frame.offers()],
    )
    _now(made)
    _courses(made)
    return _health(made)


def _now(made: dashboard.Dashboard) -> None:
    made.with_row(dashboard.Row("Now"))
    made.with_panel(
        number(
            "Spreading now",
            "Offers that were shared in the last ten minutes.",
            "short",
            f"count({_NOW} > 0) or vector(0)",
            empty="0",
        )
    )
    made.with_panel(
        number(
            "Taking off or viral",
            "Offers for which that holds now (docs/conditions.md says when).",
            "short",
            f'count(max by (offer) ({_TOLD.replace("}", "")},condition=~"takes_off|viral"}})) or vector(0)',
            empty="0",
            above=[(1, ORANGE)],
        )
    )
    made.with_panel(
        number(
            "Open offers",
            "Offers that are open, closing or re-posted, of all companies.",
            "short",
            'sum(ricochet_offers{state!="closed"})',
            empty="No offer yet",
        )
    )
    made.with_panel(
        number(
            "Shares per minute",
            "Of all chosen offers, over the last ten minutes.",
            "short",
            f"sum({_NOW})",
            empty="No offer yet",
        )
    )
    made.with_panel(
        number(
            "Accounts reached",
            "Accounts that follow somebody who posted or shared one of the offers: the estimate, summed over offers.",
            "short",
            f'sum(offer_bound:ricochet_offer_reach_accounts:max{{{_MINE},bound="estimate"}})',
            empty="Not known",
        )
    )
    made.with_panel(
        number(
            "Beyond own followers",
            "Of the accounts that are known by name, those that follow nobody who posted the offer.",
            "short",
            f'sum(offer_bound:ricochet_offer_reach_accounts:max{{{_MINE},bound="beyond"}})',
            empty="Not known",
        )
    )
    made.with_panel(
        rows(
            "Ranking",
            "Every offer with what there is to say of it now; a click on its id opens it.",
            {
                "shares per minute": f"{_NOW} {_NAMED}",
                "usual per minute": _DAY,
                "posts and shares": f"offer:ricochet_offer_nodes:sum{{{_MINE}}}",
                "reach, at least": f"sum by (offer) ({_AT_LEAST})",
                "gained in a day": f"clamp_min(delta(offer:ricochet_offer_nodes:sum{{{_MINE}}}[1d]), 0)",
                "things told": f"sum by (offer) ({_TOLD}) or 0 * {_NOW}",
            },
            {"shares per minute": "short", "usual per minute": "short", "reach, at least": "short"},
            empty="No offer has been posted yet",
            sort="shares per minute",
            tall=11,
        )
    )


def _courses(made: dashboard.Dashboard) -> None:
    made.with_row(dashboard.Row("How it goes"))
    made.with_panel(
        course(
            "Shares per minute, the seven fastest",
            "Those seven that were the fastest at any time in the range.",
            "short",
            {f"{_NOW} and {_TOP}": "{{offer}}"},
            empty="No share in this time",
        )
    )
    made.with_panel(
        course(
            "Velocity against its usual",
            "How many times its own mean of the day before each of the seven is; above three it may be taking off.",
            "short",
            {f"({_NOW} and {_TOP}) / ({_DAY} > 0)": "{{offer}}"},
            empty="No share in this time",
            above=[(3, ORANGE)],
        )
    )
    made.with_panel(
        course(
            "Against yesterday and last week",
            "Shares per minute of all chosen offers now, and at the same time a day and a week before.",
            "short",
            {
                f"sum({_NOW})": "now",
                f"sum({_NOW} offset 1d)": "yesterday",
                f"sum({_NOW} offset 1w)": "last week",
            },
            empty="No share in this time",
            colours={"now": BLUE, "yesterday": ORANGE, "last week": GREEN},
        )
    )
    made.with_panel(
        states(
            "What people were told",
            "Conditions that held of any of the chosen offers.",
            {f"max by (condition) ({_TOLD})": "{{condition}}"},
            ("no", "holds"),
            empty="Nothing was told",
            bad=1,
        )
    )
    made.with_panel(
        bars(
            "Reach beyond own followers, the ten widest",
            "Known accounts that follow nobody who posted the offer: those it came to by being passed on.",
            "short",
            {f'topk(10, offer_bound:ricochet_offer_reach_accounts:max{{{_MINE},bound="beyond"}})': "{{offer}}"},
            empty="Nobody's followers are known yet",
            wide=12,
        )
    )
    made.with_panel(
        rows(
            "Told now",
            "The conditions that hold now, with the offer.",
            {"holds": f"{_TOLD} {_NAMED}"},
            {},
            empty="Nothing to tell now",
            tall=8,
            wide=12,
        )
    )


def _health(made: dashboard.Dashboard) -> dashboard.Dashboard:
    made.with_row(dashboard.Row("Is the data whole?"))
    for panel in (
        number(
            "Processes answering",
            "Workers and connectors that Prometheus can read.",
            "short",
            'sum(up{job=~"ricochet.*"})',
            empty="None",
        ),
        number(
            "Events per second",
            "Social events taken in.",
            "short",
            "sum(rate(ricochet_events_total[$__rate_interval]))",
            empty="None",
        ),
        number(
            "Newest event",
            "How long ago the newest event happened, by the network's clock.",
            "s",
            "clamp_min(time() - max(ricochet_newest_event_timestamp_seconds), 0)",
            empty="No event yet",
            above=[(3_600, ORANGE), (6 * 3_600, RED)],
        ),
        number(
            "Rejected",
            "The part of what came in that was no event.",
            "percentunit",
            "ricochet:ricochet_rejected:ratio_rate5m",
            empty="Nothing came in",
            above=[(0.01, ORANGE), (0.05, RED)],
        ),
        number(
            "Behind",
            "Age of the newest event that workers have taken in, where more are waiting.",
            "s",
            "max(ricochet_consumer_lag_seconds)",
            empty="No worker runs",
            above=[(60, ORANGE), (600, RED)],
        ),
        number(
            "Connectors not reading",
            "Connectors that are blind now; what happens meanwhile is asked for later where the network lets us.",
            "short",
            "count(ricochet_connector_reading == 0) or 0 * count(ricochet_connector_reading)",
            empty="No connector runs",
            above=[(1, RED)],
        ),
    ):
        made.with_panel(panel)
    return made
