"""Networks: how each carries offers, and what each can and can't show."""

from typing import Final

from grafana_foundation_sdk.builders import dashboard

from dashboards import frame
from dashboards.panels import BLUE, ORANGE, PINK, bars, course, words

_MINE = 'network=~"$network"'
_OFFERS = f'{_MINE},offer=~"$offer"'
_NODES = f"offer_network:ricochet_offer_nodes:max{{{_OFFERS}}}"

_LIMITS: Final = """
| network | who passed it on | followers | what is missing |
| --- | --- | --- | --- |
| Bluesky | often: a repost says through whose repost it came | may be looked up | reposts made before `via` was there |
| X | never: every repost names the first post | count with each post; lists cost a cent a row | what its terms forbid |
| Mastodon | never: a boost names the first post | count with each account; lists may be hidden | silent servers |
| LinkedIn | not said | of the company alone | names of most who share: totals instead |
| Facebook | never | of the page alone | names of all who did not allow the app |
| Threads | of replies alone | own account alone | who reposted: totals instead |
| Viadeo, files | what the file says | what the file says | anything live |

**Declared** is what a network says itself, **inferred** what follows from who follows whom, **assumed** the rest, hung
on the post for want of evidence: there, depth is at least what is shown. A gap is a time in which a connector saw
nothing; figures over it are lower bounds.
"""


def board() -> dashboard.Dashboard:
    """The dashboard."""
    made = frame.board(
        "ricochet-networks",
        "Networks",
        "How each network carries offers, and what each can and can't show.",
        [frame.company(), frame.offers(), frame.network()],
    )
    made.with_row(dashboard.Row("How each carries offers"))
    made.with_panel(
        course(
            "Posts and shares",
            "On each network, of the chosen offers.",
            "short",
            {f"sum by (network) ({_NODES})": "{{network}}"},
            empty="No post yet",
            stacked=True,
        )
    )
    made.with_panel(
        course(
            "Gained in an hour",
            "Posts and shares more than an hour before.",
            "short",
            {f"clamp_min(sum by (network) (delta({_NODES.replace('}', '')}}}[1h])), 0)": "{{network}}"},
            empty="No post yet",
        )
    )
    made.with_panel(
        bars(
            "Offers on each",
            "Offers with a post or share there.",
            "short",
            {f"count by (network) ({_NODES} > 0)": "{{network}}"},
            empty="No post yet",
        )
    )
    made.with_panel(
        bars(
            "People on each",
            "Accounts that posted or shared; one that took part in two offers counts in both.",
            "short",
            {f"sum by (network) (max by (offer, network) (ricochet_offer_participants{{{_OFFERS}}}))": "{{network}}"},
            empty="No post yet",
        )
    )
    made.with_panel(
        bars(
            "Shares per offer",
            "Mean posts and shares of an offer that is there at all.",
            "short",
            {f"avg by (network) ({_NODES} > 0)": "{{network}}"},
            empty="No post yet",
        )
    )
    made.with_row(dashboard.Row("What each can and can't show"))
    made.with_panel(
        course(
            "Declared parents",
            "The part of shares of which the network itself says through whom they came.",
            "percentunit",
            {f"{_basis('declared')} / ({_every()} > 0)": "{{network}}"},
            empty="No share yet",
            wide=8,
        )
    )
    made.with_panel(
        course(
            "How sure, all networks",
            "Shares by how sure it is who passed them on.",
            "short",
            {f"sum by (basis) (ricochet_network_edges{{{_MINE}}})": "{{basis}}"},
            empty="No share yet",
            colours={"declared": BLUE, "inferred": ORANGE, "assumed": PINK},
            stacked=True,
            wide=8,
        )
    )
    made.with_panel(
        course(
            "Events",
            "What came in of each network, per second, of all kinds and all offers.",
            "short",
            {f"sum by (network) (rate(ricochet_events_total{{{_MINE}}}[$__rate_interval]))": "{{network}}"},
            empty="Nothing came in",
            wide=8,
        )
    )
    return made.with_panel(
        words("What a network can tell", "What Ricochet can know from each network, at best.", _LIMITS, tall=11)
    )


def _basis(basis: str) -> str:
    return f'sum by (network) (ricochet_network_edges{{{_MINE},basis="{basis}"}})'


def _every() -> str:
    return f"sum by (network) (ricochet_network_edges{{{_MINE}}})"
