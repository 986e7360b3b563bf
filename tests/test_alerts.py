"""The alerts: each rule fires and stays quiet where it must, has words and an entry, and finds its receiver."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from dashboards.__main__ import RULES
from dashboards.alerts import CALLS, FAULTS, written
from spread.conditions import NAMES
from tests.installation import ROOT, yaml
from tests.monitoring import ALERTMANAGER, require, write
from tests.processes import HANG_S
from tests.promql import check, path, rules

Series = dict[str, str]
BUILD_S = 1_200.0
"""A first build takes its sources from far away."""
WORKER = 'instance="w1:8780",job="ricochet"'
OFFER = {
    f'ricochet_offer_info{{company="Korrigan",offer="o/1",title="Backend engineer",{WORKER}}}': "1x600",
    f'ricochet_offer_nodes{{network="x",offer="o/1",{WORKER}}}': "21x600",
    f'ricochet_offer_nodes{{network="bluesky",offer="o/1",{WORKER}}}': "16x600",
    f'ricochet_offer_reach_accounts{{bound="low",offer="o/1",{WORKER}}}': "1110x600",
    f'ricochet_offer_reach_accounts{{bound="high",offer="o/1",{WORKER}}}': "9220x600",
    f'ricochet_offer_shares_per_minute{{offer="o/1",{WORKER}}}': "2.5x600",
    f'ricochet_offer_edges{{basis="declared",offer="o/1",{WORKER}}}': "30x600",
    f'ricochet_offer_edges{{basis="inferred",offer="o/1",{WORKER}}}': "0x600",
    f'ricochet_offer_edges{{basis="assumed",offer="o/1",{WORKER}}}': "10x600",
    f'ricochet_offer_generation_nodes{{generation="1",offer="o/1",{WORKER}}}': "28x600",
    f'ricochet_offer_generation_nodes{{generation="2",offer="o/1",{WORKER}}}': "12x600",
}


def condition(name: str, values: str, worker: str = WORKER) -> Series:
    """Give an offer with a condition over time, beside the others that never hold."""
    series = {f'ricochet_offer_condition{{condition="{one}",offer="o/1",{WORKER}}}': "0x600" for one in NAMES}
    return OFFER | series | {f'ricochet_offer_condition{{condition="{name}",offer="o/1",{worker}}}': values}


BLUESKY = 'connector="bluesky",instance="c1:8780",job="ricochet-connectors"'
READING = f'ricochet_connector_reading{{network="bluesky",{BLUESKY}}}'
STAGE = f'stage="offers",{WORKER}'
EVENTS = f'ricochet_events_total{{kind="share",network="x",{WORKER}}}'
FAULTY: dict[str, tuple[Series, Series, str]] = {
    "RicochetConnectorBlind": ({READING: "1x20 0x40"}, {READING: "1x20 0 0 0 1x40"}, "30m"),
    "RicochetConnectorGap": (
        {f"ricochet_connector_gaps_total{{{BLUESKY}}}": "0x10 1x50"},
        {f"ricochet_connector_gaps_total{{{BLUESKY}}}": "3x60"},
        "30m",
    ),
    "RicochetCredentialsEnd": (
        {f"ricochet_connector_credentials_seconds{{{BLUESKY}}}": "260000-60x60"},
        {f"ricochet_connector_credentials_seconds{{{BLUESKY}}}": "2600000-60x60"},
        "30m",
    ),
    "RicochetConnectorWarns": (
        {f"ricochet_connector_warns{{{BLUESKY}}}": "0x5 1x60"},
        {f"ricochet_connector_warns{{{BLUESKY}}}": "0x5 1x10 0x60"},
        "30m",
    ),
    "RicochetBudgetNearlySpent": (
        {f"ricochet_lookups_budget_left_ratio{{{BLUESKY}}}": "1-0.05x18 0.05x30"},
        {f"ricochet_lookups_budget_left_ratio{{{BLUESKY}}}": "1-0.02x40"},
        "30m",
    ),
    "RicochetLagGrowing": (
        {f"ricochet_consumer_lag_events{{{STAGE}}}": "0+1000x60"},
        {f"ricochet_consumer_lag_events{{{STAGE}}}": "60000-1000x60"},
        "35m",
    ),
    "RicochetRejectedShare": (
        {f'ricochet_rejected_total{{reason="not JSON",{WORKER}}}': "0+60x60", EVENTS: "0+600x60"},
        {f'ricochet_rejected_total{{reason="not JSON",{WORKER}}}': "0+6x60", EVENTS: "0+600x60"},
        "30m",
    ),
    "RicochetWorkerMissing": ({f"up{{{WORKER}}}": "1x10 0x40"}, {f"up{{{WORKER}}}": "1x10 0 0 1x40"}, "30m"),
    "RicochetPartitionsUnattended": (
        {f"ricochet_worker_partitions{{{STAGE}}}": "8x10 6x50"},
        {
            f"ricochet_worker_partitions{{{STAGE}}}": "8x10 4x50",
            'ricochet_worker_partitions{instance="w2:8780",job="ricochet",stage="offers"}': "0x10 4x50",
        },
        "30m",
    ),
    "RicochetWorkerStalled": (
        {f"ricochet_worker_ready{{{WORKER}}}": "1x10 0x40"},
        {f"ricochet_worker_ready{{{WORKER}}}": "1x10 0x5 1x40"},
        "30m",
    ),
    "RicochetNothingComesIn": ({EVENTS: "0+60x20 1200x200"}, {EVENTS: "0+60x20 1200x50 1200+1x150"}, "180m"),
    "RicochetGone": ({f"up{{{WORKER}}}": "1x10 _x40"}, {f"up{{{WORKER}}}": "1x10 _x4 1x40"}, "25m"),
    "RicochetOffersWithoutSeries": (
        {f"ricochet_offers_not_shown{{{WORKER}}}": "3x120"},
        {f"ricochet_offers_not_shown{{{WORKER}}}": "0x120"},
        "90m",
    ),
}
NO_OPPOSITE = {"RicochetWatchdog": "it fires always"}
"""Rules that have no second test, with the reason."""


def promtool(folder: Path, series: Series, alert: str, at: str, fires: bool) -> str:
    """Ask promtool whether a rule fires; what it has to say."""
    for name in ("recording.yml", "alerts.yml"):
        shutil.copy(path(name), folder / name)
    ask: dict[str, Any] = {"eval_time": at, "alertname": alert, "exp_alerts": []}
    test = {
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "alert_rule_test": [ask],
    }
    write(
        folder / "test.yml",
        {"rule_files": ["recording.yml", "alerts.yml"], "evaluation_interval": "1m", "tests": [test]},
    )
    command = ["promtool", "test", "rules", "test.yml"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=HANG_S, check=False)
    said = done.stdout + done.stderr
    # Nothing was expected, so that what fires is shown in full.
    assert ("got:[" in re.sub(r"\s+", "", said) and done.returncode != 0) if fires else done.returncode == 0, said
    return said


CALLED = pytest.mark.parametrize("call", CALLS, ids=lambda call: call.alert)


@pytest.fixture
def tools() -> None:
    """Hold up what needs promtool and amtool where they are missing."""
    require()


@CALLED
def test_a_call_fires(tools: None, tmp_path: Path, call: Any) -> None:
    """A condition that is told fires its alert, in words: what, how far, through whom, how sure, what to do."""
    said = promtool(tmp_path, condition(call.condition, "0x10 1x30"), call.alert, "13m", fires=True)
    plain = " ".join(said.split())
    for words in (
        f"Backend engineer {call.what}",
        "posts and shares, at least 1.11k accounts reached, at most 9.22k; 2.5 shares a minute now",
        "bluesky 16; x 21; 12 had it from others than the author",
        "25% assumed; 75% declared; 0% inferred;",
        call.do,
        "/d/ricochet-offer?var-offer=o%2F1",
        f'severity="{call.severity}"',
    ):
        assert words in plain, (words, plain)


@CALLED
def test_a_call_stays_quiet(tools: None, tmp_path: Path, call: Any) -> None:
    """Another condition, and one that is over for longer than a restart takes, fire nothing."""
    other = NAMES[NAMES.index(call.condition) - 1]
    promtool(tmp_path, condition(other, "0x10 1x30"), call.alert, "13m", fires=False)
    promtool(tmp_path, condition(call.condition, "0x10 1x5 0x60"), call.alert, "30m", fires=False)


def test_a_restart_ends_no_call(tools: None, tmp_path: Path) -> None:
    """While a worker is away, or another takes over, the alert goes on."""
    series = condition("viral", "0x10 1x5 _x5 1x30")
    promtool(tmp_path, series, "RicochetOfferViral", "19m", fires=True)
    promtool(tmp_path, series, "RicochetOfferViral", "25m", fires=True)


def test_a_change_of_hands_is_one_call(tools: None, tmp_path: Path) -> None:
    """While two workers tell of the same offer, there is one alert."""
    other = 'ricochet_offer_condition{condition="viral",instance="w2:8780",job="ricochet",offer="o/1"}'
    said = promtool(tmp_path, condition("viral", "1x30") | {other: "1x30"}, "RicochetOfferViral", "5m", fires=True)
    assert len(re.findall('alertname="RicochetOfferViral"', said)) == 1


@pytest.mark.parametrize("alert", FAULTY)
def test_a_fault_fires(tools: None, tmp_path: Path, alert: str) -> None:
    """What is wrong for long enough fires."""
    wrong, _, at = FAULTY[alert]
    promtool(tmp_path, wrong, alert, at, fires=True)


@pytest.mark.parametrize("alert", FAULTY)
def test_a_fault_stays_quiet(tools: None, tmp_path: Path, alert: str) -> None:
    """What is right, or wrong for a moment alone, fires nothing."""
    _, right, at = FAULTY[alert]
    promtool(tmp_path, right, alert, at, fires=False)


def test_a_connector_that_is_gone_is_blind(tools: None, tmp_path: Path) -> None:
    """One that has vanished from what Prometheus reads is blind too, for six hours; then it is taken for removed."""
    promtool(tmp_path, {READING: "1x20 _x500"}, "RicochetConnectorBlind", "40m", fires=True)
    promtool(tmp_path, {READING: "1x20 _x500"}, "RicochetConnectorBlind", "450m", fires=False)


def test_the_dead_man_s_switch_fires_always(tools: None, tmp_path: Path) -> None:
    """Without any series at all the watchdog fires."""
    promtool(tmp_path, {}, "RicochetWatchdog", "1m", fires=True)


def test_every_rule_has_both_tests() -> None:
    """Every rule has a test in which it fires and one in which it does not, or a reason; every condition has a rule."""
    names = {rule["alert"] for rule in rules("alerts.yml")}
    assert names == {call.alert for call in CALLS} | FAULTY.keys() | NO_OPPOSITE.keys()
    assert names == {one.alert for one in (*CALLS, *FAULTS)}
    assert [call.condition for call in CALLS] == list(NAMES)


def test_the_rules_are_current() -> None:
    """The committed rules are those that `python -m dashboards` makes."""
    assert RULES.read_text() == written(), "run `make docs`"


def test_rules_ask_for_what_there_is() -> None:
    """Every expression of an alert, and every query in its words, reads what is exposed or recorded."""
    for rule in rules("alerts.yml"):
        check(rule["expr"])
        for text in rule["annotations"].values():
            for query in re.findall(r"printf `([^`]+)`", text):
                check(query.replace("%q", '"o"'))


def test_every_alert_has_an_entry_in_the_runbook() -> None:
    """`runbook_url` leads to a heading of docs/runbook.md, and each heading there is an alert's."""
    headings = re.findall(r"^## (\w+)$", (ROOT / "docs/runbook.md").read_text(), flags=re.MULTILINE)
    links = {rule["alert"]: rule["annotations"]["runbook_url"] for rule in rules("alerts.yml")}
    assert sorted(headings) == sorted(links)
    assert links == {name: f"docs/runbook.md#{name.lower()}" for name in headings}


@pytest.fixture(scope="module")
def pint() -> Path:
    """Give pint, built once of the version that tests/pint pins, beside the other tools of this checkout."""
    program = ROOT / ".venv" / "pint"
    source = ROOT / "tests" / "pint"
    go = shutil.which("go") or shutil.which("go", path="/usr/local/go/bin")
    if program.exists() and program.stat().st_mtime > (source / "go.sum").stat().st_mtime:
        return program
    if go is None:
        lacking = "Go is missing, which builds pint: install it (Debian: golang-go)"
        if os.environ.get("CI") == "true":
            pytest.fail(lacking, pytrace=False)
        pytest.skip(lacking)
    build = [go, "build", "-o", str(program), "github.com/cloudflare/pint/cmd/pint"]
    done = subprocess.run(build, cwd=source, capture_output=True, text=True, timeout=BUILD_S, check=False)
    assert done.returncode == 0, done.stderr
    return program


def test_pint_finds_nothing(pint: Path) -> None:
    """Pint, which knows what goes wrong with rules, has no complaint, not even a small one."""
    files = [str(path(name)) for name in ("recording.yml", "alerts.yml")]
    command = [str(pint), "--offline", "--no-color", "lint", "--min-severity=info", "--fail-on=info", *files]
    done = subprocess.run(command, capture_output=True, text=True, timeout=HANG_S, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "entries=" in done.stdout + done.stderr
    assert "Problems found" not in done.stdout + done.stderr


# Alertmanager


def route(**labels: str) -> list[str]:
    """Ask amtool which receivers labels lead to."""
    command = ["amtool", "config", "routes", "test", f"--config.file={ALERTMANAGER}"]
    done = subprocess.run(
        [*command, *(f"{name}={value}" for name, value in labels.items())],
        capture_output=True,
        text=True,
        timeout=HANG_S,
        check=True,
    )
    return done.stdout.split()


@pytest.mark.parametrize(
    ("labels", "receiver"),
    [
        ({"alertname": "RicochetOfferViral", "audience": "recruiters", "severity": "critical"}, "recruiters"),
        ({"alertname": "RicochetOfferTakesOff", "audience": "recruiters", "severity": "warning"}, "recruiters"),
        ({"alertname": "RicochetConnectorBlind", "audience": "operators", "severity": "critical"}, "operators"),
        ({"alertname": "RicochetOffersWithoutSeries", "audience": "operators", "severity": "info"}, "operators"),
        ({"alertname": "RicochetWatchdog", "audience": "operators", "severity": "none"}, "heartbeat"),
        ({"alertname": "RicochetDigest", "audience": "recruiters", "severity": "digest"}, "digest"),
        ({"alertname": "SomethingElse"}, "nobody"),
    ],
)
def test_alerts_find_their_receiver(tools: None, labels: dict[str, str], receiver: str) -> None:
    """Each receiver gets what is for it, and what is not ours reaches nobody."""
    assert route(**labels) == [receiver]


def test_every_alert_finds_a_receiver(tools: None) -> None:
    """No alert reaches nobody, and every receiver but that has one."""
    found = {receiver for rule in rules("alerts.yml") for receiver in route(alertname=rule["alert"], **rule["labels"])}
    assert found == {one["name"] for one in yaml(ALERTMANAGER)["receivers"]} - {"nobody", "digest"}


def test_receivers_are_told_of_the_end_by_all_ways() -> None:
    """Recruiters and operators have Slack, email and a webhook, in our words, and are told when it is over."""
    config = yaml(ALERTMANAGER)
    templates = (ALERTMANAGER.parent / "templates/ricochet.tmpl").read_text()
    defined = set(re.findall(r'define "([^"]+)"', templates))
    for receiver in config["receivers"]:
        ways = {kind: some[0] for kind, some in receiver.items() if kind != "name"}
        if receiver["name"] in ("recruiters", "operators"):
            assert set(ways) == {"slack_configs", "email_configs", "webhook_configs"}
            assert all(way["send_resolved"] for way in ways.values())
            assert set(re.findall(r'template "([^"]+)"', str(ways))) <= defined
    assert config["route"]["receiver"] == "nobody"


@pytest.mark.parametrize("kind", ["html", "text"])
@pytest.mark.parametrize("status", ["firing", "resolved"])
def test_messages_say_what_a_recruiter_needs(tools: None, tmp_path: Path, kind: str, status: str) -> None:
    """Mail and chat say what, how far, through whom, how sure and what to do, with a link; nobody's words are HTML."""
    words = {
        **{"summary": "Cook <b> is viral", "how_far": "12 shares", "through": "x 12", "how_sure": "all declared"},
        **{"todo": "Answer replies.", "dashboard": "/d/ricochet-offer?var-offer=o", "runbook_url": "docs/runbook.md#v"},
    }
    alert = {"status": status, "labels": {"offer": "o"}, "annotations": words, "startsAt": "2026-01-01T00:00:00Z"}
    data = {"receiver": "recruiters", "status": status, "alerts": [alert], "groupLabels": {"offer": "o"}}
    (tmp_path / "data.json").write_text(json.dumps(data))
    shown = rendered(f"ricochet.{kind}", kind, tmp_path / "data.json")
    for name in ("how_far", "through", "how_sure", "todo"):
        assert words[name] in shown
    assert f"http://127.0.0.1:3000{words['dashboard']}" in shown
    assert words["runbook_url"] in shown
    assert ("Cook &lt;b&gt; is viral" if kind == "html" else "Cook <b> is viral") in shown
    subject = rendered("ricochet.subject", "text", tmp_path / "data.json").strip()
    assert subject == ("Cook <b> is viral" if status == "firing" else "Over: Cook <b> is viral")


def rendered(template: str, kind: str, data: Path) -> str:
    """Have amtool render a template as Alertmanager does."""
    command = ["amtool", "template", "render", f"--template.glob={ALERTMANAGER.parent}/templates/*.tmpl"]
    more = [f"--template.data={data}", f"--template.type={kind}", f'--template.text={{{{ template "{template}" . }}}}']
    done = subprocess.run([*command, *more], capture_output=True, text=True, timeout=HANG_S, check=True)
    return done.stdout
