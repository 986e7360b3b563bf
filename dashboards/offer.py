"""One offer: how far it went, through whom, how sure that is, and what came of it."""

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.models import dashboard as models

from dashboards import frame
from dashboards.panels import BLUE, GREEN, ORANGE, PINK, RED, SKY, bars, course, number, states

_ONE = 'offer="$offer"'
_REACH = f"offer_bound:ricochet_offer_reach_accounts:max{{{_ONE}}}"
_NODES = "offer:ricochet_offer_nodes:sum"
_VIRALITY = "offer:ricochet_offer_structural_virality:max"
_SAME_SIZE = (
    f"{_VIRALITY} and on (offer) ({_NODES} >= scalar({_NODES}{{{_ONE}}}) / 2)"
    f" and on (offer) ({_NODES} <= scalar({_NODES}{{{_ONE}}}) * 2)"
)


def board() -> dashboard.Dashboard:
    """The dashboard."""
    made = frame.board(
        "ricochet-offer",
        "One offer",
        "How far one offer went, through whom, how sure that is, and what came of it. Marks: what people were told.",
        [frame.company(), frame.offer()],
    )
    made.annotation(frame.told(f"offer_condition:ricochet_offer_condition:max{{{_ONE}}} == 1"))
    _numbers(made)
    _reach(made)
    _shape(made)
    return made


def _numbers(made: dashboard.Dashboard) -> None:
    made.with_row(dashboard.Row("Now"))
    title = number(
        "Offer",
        "What the registry says of it: title and company.",
        "none",
        f"offer:ricochet_offer_info:max{{{_ONE}}}",
        empty="Choose an offer above",
        legend="{{title}} · {{company}}",
    )
    made.with_panel(title.span(8))
    for panel in (
        number(
            "Posts and shares",
            "Living posts, shares and quotes.",
            "short",
            f"{_NODES}{{{_ONE}}}",
            empty="None",
        ),
        number(
            "Shares per minute",
            "Over the last ten minutes.",
            "short",
            f"offer:ricochet_offer_shares_per_minute:max{{{_ONE}}}",
            empty="None",
        ),
        number(
            "Accounts reached",
            "Accounts that follow somebody who posted or shared: the estimate between the bounds.",
            "short",
            f'sum({_REACH[:-1]},bound="estimate"}})',
            empty="Not known: somebody's follower count is missing",
        ),
        number(
            "Half-life",
            "Time from the first post until half of the shares so far had come: short is a flash, long goes on.",
            "s",
            f"max(ricochet_offer_half_life_seconds{{{_ONE}}})",
            empty="No share yet",
        ),
    ):
        made.with_panel(panel)


def _reach(made: dashboard.Dashboard) -> None:
    made.with_row(dashboard.Row("How far"))
    reach = course(
        "Reach with its bounds",
        "Distinct accounts that can have seen it: at least low, at most high. Known are those seen in lists of"
        " followers, beyond those of them that follow nobody who posted it.",
        "short",
        {_REACH: "{{bound}}"},
        empty="Nobody's followers are known",
        colours={"low": SKY, "high": SKY, "estimate": BLUE, "known": GREEN, "beyond": ORANGE},
    )
    reach.override_by_name(
        "high",
        [models.DynamicConfigValue("custom.fillBelowTo", "low"), models.DynamicConfigValue("custom.fillOpacity", 20)],
    )
    made.with_panel(reach)
    made.with_panel(
        course(
            "Shares per minute against its usual",
            "Over the last ten minutes, and its own mean of the day before.",
            "short",
            {
                f"offer:ricochet_offer_shares_per_minute:max{{{_ONE}}}": "now",
                f"offer:ricochet_offer_shares_per_minute:avg1d{{{_ONE}}}": "usual",
            },
            empty="No share in this time",
            colours={"now": BLUE, "usual": ORANGE},
        )
    )
    made.with_panel(
        course(
            "By network",
            "Posts and shares on each network.",
            "short",
            {f"offer_network:ricochet_offer_nodes:max{{{_ONE}}}": "{{network}}"},
            empty="No post yet",
            stacked=True,
            wide=8,
        )
    )
    made.with_panel(
        bars(
            "By generation",
            "Posts are generation 0, their shares 1, shares of those 2, as far as it is known who passed it on.",
            "short",
            {f"max by (generation) (ricochet_offer_generation_nodes{{{_ONE}}})": "generation {{generation}}"},
            empty="No post yet",
        )
    )
    made.with_panel(
        bars(
            "Funnel",
            "From accounts reached to clicks, applications and hires; what nobody told of is missing.",
            "short",
            {
                f'sum({_REACH[:-1]},bound="estimate"}})': "reached",
                f'max(ricochet_offer_outcomes{{{_ONE},kind="click"}})': "clicks",
                f'max(ricochet_offer_outcomes{{{_ONE},kind="application"}})': "applications",
                f'max(ricochet_offer_outcomes{{{_ONE},kind="hire"}})': "hires",
            },
            empty="Nothing is known of clicks or applications",
        )
    )


def _shape(made: dashboard.Dashboard) -> None:
    made.with_row(dashboard.Row("Through whom, and how sure"))
    made.with_panel(
        course(
            "How sure: who had it from whom",
            "Declared: the network says so. Inferred: one follows the other. Assumed: nothing is known, so it hangs on"
            " the post.",
            "short",
            {f"max by (basis) (ricochet_offer_edges{{{_ONE}}})": "{{basis}}"},
            empty="No share yet",
            colours={"declared": BLUE, "inferred": ORANGE, "assumed": PINK},
            stacked=True,
        )
    )
    made.with_panel(
        course(
            "Structural virality against offers of its size",
            "Mean distance between two who shared it: 2 is a broadcast, more is passed on from one to the next. It"
            " grows with size, so the median is that of offers with half to twice as many shares.",
            "short",
            {
                f"{_VIRALITY}{{{_ONE}}}": "this offer",
                f"quantile(0.5, {_SAME_SIZE})": "median of its size",
            },
            empty="No share yet",
            colours={"this offer": BLUE, "median of its size": ORANGE},
        )
    )
    made.with_panel(
        course(
            "Depth and breadth",
            "Depth: steps from the post to the farthest share. Breadth: most shares at one depth.",
            "short",
            {
                f"max(ricochet_offer_depth{{{_ONE}}})": "depth",
                f"max(ricochet_offer_max_breadth{{{_ONE}}})": "breadth",
            },
            empty="No post yet",
            colours={"depth": BLUE, "breadth": ORANGE},
        )
    )
    made.with_panel(
        states(
            "What people were told",
            "Conditions that held of this offer.",
            {f"offer_condition:ricochet_offer_condition:max{{{_ONE}}}": "{{condition}}"},
            ("no", "holds"),
            empty="Nothing was told",
            bad=1,
        )
    )
    made.with_panel(
        bars(
            "What the networks state",
            "The networks' own totals over its posts, which name nobody.",
            "short",
            {f"max by (kind) (ricochet_offer_stated{{{_ONE}}})": "{{kind}}"},
            empty="No network states any",
            wide=12,
        )
    )
    made.with_panel(
        number(
            "Shares after closing",
            "Shares later than its closing date: people see an offer that nobody can apply to.",
            "short",
            f"max(ricochet_offer_shares_after_closing{{{_ONE}}})",
            empty="None",
            above=[(3, ORANGE), (20, RED)],
        )
    )
