"""Is the data whole: lag, gaps, what was refused, connectors, budgets, workers and memory."""

from grafana_foundation_sdk.builders import dashboard

from dashboards import frame
from dashboards.panels import ORANGE, RED, course, number, states

_ANY = "[$__rate_interval]"
_BATCHES = f"sum by (stage, le) (rate(ricochet_apply_seconds_bucket{_ANY}))"


def board() -> dashboard.Dashboard:
    """The dashboard."""
    made = frame.board(
        "ricochet-data",
        "Is the data whole?",
        "Whether everything came in and was counted: for those who run Ricochet.",
        [frame.network()],
        span="now-6h",
    )
    _coming_in(made)
    _connectors(made)
    _workers(made)
    return made


def _coming_in(made: dashboard.Dashboard) -> None:
    made.with_row(dashboard.Row("What comes in"))
    made.with_panel(
        course(
            "Events by kind",
            "Social events taken in, per second.",
            "short",
            {f'sum by (kind) (rate(ricochet_events_total{{network=~"$network"}}{_ANY}))': "{{kind}}"},
            empty="Nothing came in",
            wide=8,
        )
    )
    made.with_panel(
        course(
            "Rejected",
            "Messages, or parts of them, that were no events, per second, by reason.",
            "short",
            {f"sum by (reason) (rate(ricochet_rejected_total{_ANY}))": "{{reason}}"},
            empty="Nothing was rejected",
            wide=8,
        )
    )
    made.with_panel(
        course(
            "Late, doubled, too old",
            "Per second: events more than a minute behind the newest, such as said nothing new, and such as are older"
            " than the retention. Only the last are left out.",
            "short",
            {
                f"sum(rate(ricochet_late_events_total{_ANY}))": "late",
                f"sum(rate(ricochet_duplicates_total{_ANY}))": "duplicates",
                f"sum(rate(ricochet_expired_events_total{_ANY}))": "too old",
            },
            empty="Nothing came in",
            wide=8,
        )
    )


def _connectors(made: dashboard.Dashboard) -> None:
    made.with_row(dashboard.Row("Connectors"))
    empty = "No connector runs"
    made.with_panel(
        states(
            "Connected and reading",
            "A connector that does not read is blind; it asks for what it missed where the network lets it.",
            {'max by (connector) (ricochet_connector_reading{network=~"$network"})': "{{connector}}"},
            ("blind", "reads"),
            empty=empty,
            bad=0,
            wide=8,
        )
    )
    made.with_panel(
        course(
            "Last gap",
            "Time since a connector found that it had seen nothing for a while: figures over that are lower bounds.",
            "s",
            {"time() - max by (connector) (ricochet_connector_last_gap_timestamp_seconds)": "{{connector}}"},
            empty="No gap since they started",
            wide=8,
        )
    )
    for title, says, unit, asked in (
        (
            "Cursor behind",
            "How far what was read and is safe lies behind the clock.",
            "s",
            {"max by (connector) (ricochet_connector_cursor_age_seconds)": "{{connector}}"},
        ),
        (
            "Last message",
            "Time since anything came from a network.",
            "s",
            {"max by (connector) (ricochet_connector_last_message_seconds)": "{{connector}}"},
        ),
        (
            "Messages",
            "What came from the networks, per second.",
            "short",
            {f"sum by (connector) (rate(ricochet_connector_messages_total{_ANY}))": "{{connector}}"},
        ),
        (
            "Rate limits and lost connections",
            "Times in an hour that a network said there were too many calls, and that a connection was lost.",
            "short",
            {
                "sum by (connector) (increase(ricochet_connector_rate_limits_total[1h]))": "{{connector}}: limits",
                "sum by (connector) (increase(ricochet_connector_reconnects_total[1h]))": "{{connector}}: lost",
            },
        ),
        (
            "Credentials end in",
            "Time until they have to be renewed, where the network says it.",
            "s",
            {"min by (connector) (ricochet_connector_credentials_seconds)": "{{connector}}"},
        ),
        (
            "Budget left",
            "The part of today's budget for look-ups, of calls or of dollars, that is left.",
            "percentunit",
            {"min by (connector) (ricochet_lookups_budget_left_ratio)": "{{connector}}"},
        ),
        (
            "Look-ups",
            "Accounts whose followers are worth knowing, and those of them that today's budget does not reach.",
            "short",
            {
                "sum by (connector) (ricochet_lookups_waiting)": "{{connector}}: waiting",
                "sum by (connector) (ricochet_lookups_unaffordable)": "{{connector}}: not within the budget",
            },
        ),
        (
            "Look-ups cost",
            "US dollars in an hour.",
            "currencyUSD",
            {"sum by (connector) (increase(ricochet_lookup_dollars_total[1h]))": "{{connector}}"},
        ),
    ):
        made.with_panel(course(title, says, unit, asked, empty=empty, wide=8))


def _workers(made: dashboard.Dashboard) -> None:
    made.with_row(dashboard.Row("Workers"))
    empty = "No worker runs"
    made.with_panel(
        number(
            "Workers ready",
            "Workers that are whole and get on.",
            "short",
            "sum(ricochet_worker_ready)",
            empty=empty,
        )
    )
    made.with_panel(
        number(
            "Partitions held",
            "Partitions that some worker has, of both stages.",
            "short",
            "sum(ricochet_worker_partitions)",
            empty=empty,
        )
    )
    made.with_panel(
        number(
            "Events waiting",
            "Events and facts in Kafka that are not acknowledged yet.",
            "short",
            "sum(ricochet_consumer_lag_events)",
            empty=empty,
            above=[(100_000, ORANGE), (1_000_000, RED)],
        )
    )
    made.with_panel(
        number(
            "Offers in memory",
            "Open and closed ones.",
            "short",
            "sum(ricochet_offers)",
            empty="None",
        )
    )
    made.with_panel(
        number(
            "Offers without series",
            "Open offers beyond the setting offers_shown: they are counted in no other panel.",
            "short",
            "sum(ricochet_offers_not_shown)",
            empty="None",
            above=[(1, ORANGE)],
        )
    )
    made.with_panel(
        number(
            "Sent on",
            "Events in an hour that had come to another partition than their own: who sends them has it wrong.",
            "short",
            "sum(increase(ricochet_foreign_events_total[1h]))",
            empty=empty,
            above=[(1, ORANGE)],
        )
    )
    for title, says, unit, asked, none in (
        (
            "Behind",
            "Age of the newest event taken in, where there are more, by stage.",
            "s",
            {"max by (stage) (ricochet_consumer_lag_seconds)": "{{stage}}"},
            empty,
        ),
        (
            "Rebalances",
            "Times in an hour that the group gave out its partitions anew.",
            "short",
            {"max(increase(ricochet_worker_rebalances_total[1h]))": "rebalances"},
            empty,
        ),
        (
            "Waiting to be acknowledged",
            "Messages taken in that the next flush will acknowledge.",
            "bytes",
            {"sum by (stage) (ricochet_worker_unacknowledged_bytes)": "{{stage}}"},
            empty,
        ),
        (
            "Kafka's answers",
            "Time for a flush, a sending and a commit; the slowest worker.",
            "s",
            {
                "max(ricochet_worker_flush_seconds)": "flush",
                "max(ricochet_worker_send_seconds)": "send",
                "max(ricochet_worker_commit_seconds)": "commit",
            },
            empty,
        ),
        (
            "Time for a batch",
            "The slowest of a hundred batches, by stage.",
            "s",
            {
                f"histogram_quantile(0.99, {_BATCHES})": "{{stage}}",
            },
            "Nothing came in",
        ),
        (
            "Memory",
            "Of each process, and of the offers within.",
            "bytes",
            {
                'process_resident_memory_bytes{job=~"ricochet.*"}': "{{instance}}",
                "sum(ricochet_state_memory_bytes)": "offers",
            },
            "None",
        ),
        (
            "Nodes in memory",
            "Posts, shares, quotes and replies, those taken back included.",
            "short",
            {"sum(ricochet_state_nodes)": "nodes"},
            "None",
        ),
        (
            "Stored",
            "Facts on disk.",
            "bytes",
            {"sum(ricochet_state_stored_bytes)": "stored"},
            "None",
        ),
    ):
        made.with_panel(course(title, says, unit, asked, empty=none, wide=8))
