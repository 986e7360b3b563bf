"""The alerts: what Prometheus calls people for, in words for those who are called.

Those over offers fire on the conditions that Ricochet decided (docs/conditions.md), and so need no patience of their
own; they are kept for a while, so that a worker that restarts ends none. Those over Ricochet itself say what to do in
docs/runbook.md.
"""

from dataclasses import dataclass
from io import StringIO
from typing import Any, Final

from ruamel.yaml import YAML
from ruamel.yaml.scalarstring import FoldedScalarString

_FOR_RECRUITERS: Final = "recruiters"
_FOR_OPERATORS: Final = "operators"
KEEP: Final = "10m"
"""A worker that restarts, or a rebalance, takes less."""


@dataclass(frozen=True)
class Call:
    """An alert over a condition of an offer, in a recruiter's words. `severity` is critical, warning or info."""

    alert: str
    condition: str
    severity: str
    what: str
    do: str


CALLS: Final = (
    Call(
        "RicochetOfferTakesOff", "takes_off", "warning",
        "takes off: it is shared far faster than it usually is",
        "Look who shares it, thank them, and be ready to answer questions in the next hour.",
    ),
    Call(
        "RicochetOfferViral", "viral", "critical",
        "is viral: many share it, fast, and pass it on from one to the next",
        "Answer replies, check that the page of the offer holds and is right, and tell those who hire.",
    ),
    Call(
        "RicochetOfferLeftItsOwnFollowers", "left_its_own_followers", "info",
        "has left your own followers: others than those pass it on",
        "New people see it who may not know you: a pinned reply with who you are helps.",
    ),
    Call(
        "RicochetOfferSecondWave", "second_wave", "info",
        "has a second wave, after it had calmed down",
        "Find out what began it; what worked twice is worth doing on purpose.",
    ),
    Call(
        "RicochetOfferJumpedToAnotherNetwork", "jumped_to_another_network", "info",
        "has come to a network where it was not before",
        "Look whether you have an account there that can answer.",
    ),
    Call(
        "RicochetOfferBigAccountJoined", "a_big_account_joined", "warning",
        "was shared by an account with more followers than all before had together",
        "Thank them, and watch the next hour: most of what comes of it comes at once.",
    ),
    Call(
        "RicochetOfferSpreadsAlthoughClosed", "spreads_although_closed", "warning",
        "spreads although it is closed: people see what they can't apply to",
        "Say in a reply that it is filled and where the open offers are, or open it again.",
    ),
    Call(
        "RicochetOfferClicksWithoutApplications", "clicks_without_applications", "warning",
        "is clicked and nobody applies",
        "Open its page on a phone and apply yourself: the form, the salary or the text may put people off.",
    ),
    Call(
        "RicochetOfferGoneQuietEarly", "gone_quiet_early", "info",
        "has gone quiet early: your past offers had far more shares by that age",
        "Ask colleagues to share it, or post it again with other words at another hour.",
    ),
    Call(
        "RicochetOfferDependsOnOneAccount", "depends_on_one_account", "info",
        "depends on one account: half of its shares came through it",
        "If that account takes its share back, so goes the rest: get others to share it too.",
    ),
)  # fmt: skip


@dataclass(frozen=True)
class Fault:
    """An alert over Ricochet itself: what is wrong, and for how long before anybody is called."""

    alert: str
    expr: str
    wait: str
    severity: str
    what: str
    why: str


_READING = "max by (connector) (ricochet_connector_reading)"
_LAG = "sum by (stage) (ricochet_consumer_lag_events)"

FAULTS: Final = (
    Fault(
        "RicochetConnectorBlind",
        f"{_READING} == 0 or (max by (connector) (last_over_time(ricochet_connector_reading[6h]))"
        f" unless on (connector) {_READING})",
        "5m", "critical",
        "The connector {{ $labels.connector }} is blind",
        "It reads nothing, or does not run any more. What happens meanwhile is missing until it reads again.",
    ),
    Fault(
        "RicochetConnectorGap",
        # No counter: what is found before the first scrape would be no increase. The range outlasts a restart.
        "time() - max by (connector) (max_over_time(ricochet_connector_last_gap_timestamp_seconds[1h])) < 3600",
        "0s", "warning",
        "The connector {{ $labels.connector }} has a gap",
        "It saw nothing for a while and could not ask for it later: figures over that time are lower bounds.",
    ),
    Fault(
        "RicochetCredentialsEnd",
        "min by (connector) (ricochet_connector_credentials_seconds) < 3 * 86400",
        "5m", "warning",
        "The credentials of {{ $labels.connector }} end in {{ $value | humanizeDuration }}",
        "Without new ones the connector is blind from then on.",
    ),
    Fault(
        "RicochetConnectorWarns",
        "max by (connector) (ricochet_connector_warns) == 1",
        "15m", "warning",
        "The connector {{ $labels.connector }} reads, and wants somebody to see to it",
        "Its log says why.",
    ),
    Fault(
        "RicochetBudgetNearlySpent",
        "min by (connector) (ricochet_lookups_budget_left_ratio) < 0.1",
        "5m", "warning",
        "The look-ups of {{ $labels.connector }} have {{ $value | humanizePercentage }} of today's budget left",
        "When it is spent, no followers are looked up until midnight UTC, and less is known of who had it from whom.",
    ),
    Fault(
        "RicochetLagGrowing",
        f"{_LAG} > 10000 and {_LAG} > sum by (stage) (ricochet_consumer_lag_events offset 10m)",
        "10m", "warning",
        "Stage {{ $labels.stage }} falls behind: {{ $value | humanize }} events wait",
        "More comes in than the workers take: figures and alerts are late, and later each minute.",
    ),
    Fault(
        "RicochetRejectedShare",
        "ricochet:ricochet_rejected:ratio_rate5m > 0.05",
        "10m", "warning",
        "{{ $value | humanizePercentage }} of what comes in is refused",
        "Somebody sends what is no event; it lies in the topic `rejected` with its reason.",
    ),
    Fault(
        "RicochetWorkerMissing",
        'up{job="ricochet"} == 0',
        "5m", "critical",
        "The worker at {{ $labels.instance }} does not answer",
        "Its offers have no figures until it is back or another takes over.",
    ),
    Fault(
        # Under Compose the address of a dead worker goes with it, and `up` too. While a worker is made anew, both may
        # answer for a moment: only as many count as there were for minutes.
        "RicochetFewerWorkers",
        "ricochet:ricochet_worker_ready:count"
        " < max_over_time(min_over_time(ricochet:ricochet_worker_ready:count[5m])[6h:1m])",
        "10m", "warning",
        "{{ $value | humanize }} workers answer, fewer than before",
        "The others have its offers and more to do than they should; there may be none left to take over.",
    ),
    Fault(
        "RicochetPartitionsUnattended",
        "sum by (stage) (ricochet_worker_partitions) < max by (stage) (ricochet_worker_topic_partitions)",
        "5m", "critical",
        "{{ $value | humanize }} partitions of stage {{ $labels.stage }} are held, fewer than there are",
        "The offers of the others have no figures: a worker is gone, or the group does not settle.",
    ),
    Fault(
        "RicochetWorkerStalled",
        "ricochet_worker_ready == 0",
        "10m", "critical",
        "The worker at {{ $labels.instance }} is not ready",
        "It recovers, is stalled, or makes no progress; its /readyz says which.",
    ),
    Fault(
        "RicochetNothingComesIn",
        # Where nothing ever came, there is no series to have a rate.
        '(sum(rate(ricochet_events_total[30m])) or 0 * count(up{job="ricochet"} == 1)) == 0',
        "1h", "warning",
        "No event has come in for an hour or more",
        "Nobody posts or shares anything, or nothing reaches Ricochet although its parts run.",
    ),
    Fault(
        "RicochetGone",
        'absent(up{job="ricochet"} == 1)',
        "5m", "critical",
        "Nothing of Ricochet answers",
        "No worker can be read: no figure is current, and no alert over an offer can fire.",
    ),
    Fault(
        "RicochetOffersWithoutSeries",
        "sum(ricochet_offers_not_shown) > 0",
        "1h", "info",
        "{{ $value | humanize }} open offers have no series of their own",
        "Dashboards leave them out; the setting offers_shown says how many have some. Alerts are not affected.",
    ),
    Fault(
        "RicochetWatchdog",
        "vector(1)",
        "0s", "none",
        "The way of alerts works",
        "It fires always. When it no longer comes, alerts reach nobody: that is what the other side must call for.",
    ),
)  # fmt: skip

_HOW_FAR = (
    "{{ with printf `offer:ricochet_offer_nodes:sum{offer=%q}` $labels.offer | query }}"
    "{{ . | first | value | humanize }} posts and shares{{ end }}"
    '{{ with printf `offer_bound:ricochet_offer_reach_accounts:max{offer=%q,bound="low"}` $labels.offer | query }},'
    " at least {{ . | first | value | humanize }} accounts reached{{ end }}"
    '{{ with printf `offer_bound:ricochet_offer_reach_accounts:max{offer=%q,bound="high"}` $labels.offer | query }},'
    " at most {{ . | first | value | humanize }}{{ end }}"
    "{{ with printf `offer:ricochet_offer_shares_per_minute:max{offer=%q}` $labels.offer | query }};"
    " {{ . | first | value | humanize }} shares a minute now{{ end }}"
)
_THROUGH = (
    "{{ range printf `offer_network:ricochet_offer_nodes:max{offer=%q}` $labels.offer"
    ' | query | sortByLabel "network" }}'
    "{{ .Labels.network }} {{ .Value | humanize }}; {{ end }}"
    "{{ with printf `offer_generation:ricochet_offer_generation_nodes:beyond{offer=%q}` $labels.offer | query }}"
    "{{ . | first | value | humanize }} had it from others than the author, as far as known{{ end }}"
)
_HOW_SURE = (
    "{{ range printf `offer_basis:ricochet_offer_edges:ratio{offer=%q}` $labels.offer"
    ' | query | sortByLabel "basis" }}'
    "{{ .Value | humanizePercentage }} {{ .Labels.basis }}; {{ end }}"
    "declared: the network says through whom, inferred: one follows the other, assumed: not known"
)


def call_rule(call: Call) -> dict[str, Any]:
    """The rule of an alert over an offer."""
    condition = f'offer_condition:ricochet_offer_condition:max{{condition="{call.condition}"}}'
    return {
        "alert": call.alert,
        "expr": f"{condition} == 1 and on (offer) offer:ricochet_offer_info:max",
        "keep_firing_for": KEEP,
        "labels": {"severity": call.severity, "audience": _FOR_RECRUITERS},
        "annotations": {
            "summary": _long("{{ with printf `offer:ricochet_offer_info:max{offer=%q}` $labels.offer | query }}"
            "{{ . | first | label \"title\" }}{{ else }}{{ $labels.offer }}{{ end }} " + call.what),
            "how_far": _long(_HOW_FAR),
            "through": _long(_THROUGH),
            "how_sure": _long(_HOW_SURE),
            "todo": call.do,
            "dashboard": "/d/ricochet-offer?var-offer={{ $labels.offer | urlquery }}",
            "runbook_url": runbook(call.alert),
        },
    }  # fmt: skip


def fault_rule(fault: Fault) -> dict[str, Any]:
    """The rule of an alert over Ricochet itself."""
    rule: dict[str, Any] = {"alert": fault.alert, "expr": _long(fault.expr)}
    if fault.wait != "0s":
        rule["for"] = fault.wait
    return rule | {
        "labels": {"severity": fault.severity, "audience": _FOR_OPERATORS},
        "annotations": {
            "summary": fault.what,
            "description": fault.why,
            "dashboard": "/d/ricochet-data",
            "runbook_url": runbook(fault.alert),
        },
    }


def runbook(alert: str) -> str:
    """Where the runbook says what to do."""
    return f"docs/runbook.md#{alert.lower()}"


def written() -> str:
    """The rules as Prometheus reads them."""
    yaml = YAML()
    yaml.width = 110
    yaml.indent(mapping=2, sequence=4, offset=2)
    out = StringIO("# Made by `python -m dashboards`; the words are in dashboards/alerts.py.\n")
    out.seek(0, 2)
    groups = [
        {"name": "ricochet-offers-alerts", "rules": [call_rule(call) for call in CALLS]},
        {"name": "ricochet-health-alerts", "rules": [fault_rule(fault) for fault in FAULTS]},
    ]
    yaml.dump({"groups": groups}, out)
    watchdog = "      - alert: RicochetWatchdog\n"
    return out.getvalue().replace(
        watchdog, f"      # It is to fire always.\n      # pint disable alerts/comparison\n{watchdog}"
    )


def _long(text: str) -> FoldedScalarString:
    folded: FoldedScalarString = FoldedScalarString(text)
    return folded
