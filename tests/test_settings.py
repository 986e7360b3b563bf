"""Settings: where they come from, what beats what, and how each option is explained.

Most commands run in this process, through the program's own entry: a process for each would mostly import.
"""

from __future__ import annotations

import os
import re
import ssl
import sys
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

import click
import pytest
import trustme

from ricochet.cli import main, ricochet
from ricochet.errors import RicochetError
from ricochet.kafka_cli import topics
from ricochet.settings import FILE_VARIABLE, PREFIX, Settings, load
from spread.events import DAY_MS
from spread.thresholds import Thresholds
from tests.processes import Ended, ended, environment, started

VALUES: dict[str, tuple[str, str]] = {
    "state": ('"other.state"', "other.state"),
    "engine": ('"kafka"', "kafka"),
    "near_misses": ('"other.near"', "other.near"),
    "ambassadors": ('"people.csv"', "people.csv"),
    "tail": ('["a.jsonl", "b.jsonl"]', "a.jsonl, b.jsonl"),
    "host": ('"127.0.0.2"', "127.0.0.2"),
    "web_token": ('"0123456789abcdef"', "**********"),
    "web_token_file": ('"web.token"', "web.token"),
    "port": ("4321", "4321"),
    "retention_days": ("30", "30"),
    "network_retention_days": ("{ x = 7, bluesky = 90 }", "linkedin=30, facebook=90, threads=90, x=7, bluesky=90"),
    "offers_shown": ("7", "7"),
    "kafka": ('"broker-1:9092,broker-2:9092"', "broker-1:9092,broker-2:9092"),
    "kafka_options": ('{ security_protocol = "SSL" }', "security_protocol=SSL"),
    "topic_prefix": ('"acme."', "acme."),
    "social_partitions": ("12", "12"),
    "offer_partitions": ("6", "6"),
    "replication": ("3", "3"),
    "event_retention_days": ("3", "3"),
    "alert_retention_days": ("10", "10"),
    "erasure_hours": ("42.0", "42.0"),
    "data": ('"tables"', "tables"),
    "worker_port": ("9000", "9000"),
    "advertise": ('"http://w1:8780"', "http://w1:8780"),
    "tables": ('"memory"', "memory"),
    "memory_mb": ("512", "512"),
    "stalled_seconds": ("20", "20"),
    "hash_key": ('"0123456789abcdef"', "**********"),
    "hash_key_file": ('"hash.key"', "hash.key"),
    "suppression_key": ('"fedcba9876543210"', "**********"),
    "suppression_key_file": ('"suppression.key"', "suppression.key"),
    "own": ('["x:acme", "x:1"]', "x:acme, x:1"),
    "private_hosts": ('["jobs.intranet"]', "jobs.intranet"),
    "thresholds": ("{ viral_shares = 50 }", "viral_shares=50"),
    "connectors": ('{ nobody = { "key" = "geheim" } }', "nobody.key=**********"),
    "journals": ('"cursors"', "cursors"),
    "receiver_host": ('"127.0.0.4"', "127.0.0.4"),
    "receiver_port": ("4322", "4322"),
    "log_format": ('"json"', "json"),
    "log_level": ('"error"', "error"),
}
"""For each setting a value as TOML has it, and as it is shown."""


class Here:
    """Ricochet's commands run in this process, in a folder and with an environment as a child would have them."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def ended(self, *args: str, cwd: Path, env: Mapping[str, str] | None = None) -> Ended:
        """Run a command to its end."""
        with pytest.MonkeyPatch.context() as given:
            given.chdir(cwd)
            given.setattr(sys, "argv", ["ricochet", *args])
            child = environment(env)
            for name in os.environ.keys() - child.keys():
                given.delenv(name)
            for name, value in child.items():
                given.setenv(name, value)
            self._capsys.readouterr()
            with pytest.raises(SystemExit) as end:
                main()
            said = self._capsys.readouterr()
        assert isinstance(end.value.code, int)
        return Ended(end.value.code, said.out, said.err)

    def out(self, *args: str, cwd: Path, env: Mapping[str, str] | None = None) -> str:
        """Run a command that must end well, and give what it says."""
        result = self.ended(*args, cwd=cwd, env=env)
        assert result.code == 0, result
        return result.out


@pytest.fixture
def here(capsys: pytest.CaptureFixture[str]) -> Here:
    """Give a way to run commands here."""
    return Here(capsys)


def in_force(here: Here, folder: Path, env: Mapping[str, str] | None = None) -> dict[str, tuple[str, str]]:
    """Ask for the settings: each with its value and where that comes from."""
    shown = {}
    for line in here.out("settings", cwd=folder, env=env).splitlines():
        cells = [cell.strip() for cell in line.split("│")]
        if len(cells) == 6 and cells[1]:
            assert cells[4], f"{cells[1]} is not explained"
            shown[cells[1]] = cells[2], cells[3]
    return shown


def in_environment(name: str) -> str:
    """Give a setting's value as the environment has it: text without quotes, a table as JSON."""
    value = VALUES[name][0]
    if "=" not in value:
        return value.strip('"')
    for key in ("security_protocol", "nobody", "viral_shares", "x", "bluesky"):
        value = re.sub(rf"(?<=[{{ ]){key}(?= =)", f'"{key}"', value)
    return value.replace(" = ", ": ")


def test_all_settings_are_shown_with_their_defaults(here: Here, tmp_path: Path) -> None:
    """`ricochet settings` lists every setting; without a file or variables all are defaults."""
    shown = in_force(here, tmp_path)
    assert list(shown) == list(Settings.model_fields) == list(VALUES)
    assert {origin for _, origin in shown.values()} == {"default"}
    assert shown["host"] == ("127.0.0.1", "default")
    assert shown["port"] == ("8765", "default")


def test_every_setting_can_stand_in_a_file(here: Here, tmp_path: Path) -> None:
    """`ricochet.toml` in the folder is read, and so is the file that RICOCHET_SETTINGS names, instead."""
    content = "".join(f"{name} = {value}\n" for name, (value, _) in VALUES.items())
    expected = {name: (shown, "file") for name, (_, shown) in VALUES.items()}
    (tmp_path / "ricochet.toml").write_text(content)
    assert in_force(here, tmp_path) == expected
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "ricochet.toml").write_text("port = 1\n")
    named = {FILE_VARIABLE: str(tmp_path / "ricochet.toml")}
    assert in_force(here, tmp_path / "elsewhere", named) == expected


def test_every_setting_can_stand_in_the_environment_and_beats_the_file(here: Here, tmp_path: Path) -> None:
    """A variable beats the file, for that setting alone."""
    (tmp_path / "ricochet.toml").write_text('port = 1\nhost = "127.0.0.9"\nlog_level = "debug"\n')
    shown = in_force(here, tmp_path, {"RICOCHET_PORT": "2"})
    assert shown["port"] == ("2", "environment")
    assert shown["host"] == ("127.0.0.9", "file")
    assert shown["offers_shown"] == ("50", "default")
    shown = in_force(here, tmp_path, {"ricochet_port": "2", "RICOCHET_NETWORK_RETENTION_DAYS__X": "30"})
    assert (shown["port"][1], shown["network_retention_days"][1]) == ("environment", "environment")
    everything = {PREFIX + name.upper(): in_environment(name) for name in VALUES}
    assert in_force(here, tmp_path, everything) == {name: (shown, "environment") for name, (_, shown) in VALUES.items()}


def test_one_file_to_follow_needs_no_list(here: Here, tmp_path: Path) -> None:
    """A single path will do for `tail`, in the environment and in the file."""
    assert in_force(here, tmp_path, {"RICOCHET_TAIL": "a b.jsonl"})["tail"] == ("a b.jsonl", "environment")
    (tmp_path / "ricochet.toml").write_text('tail = "a b.jsonl"\n')
    assert in_force(here, tmp_path)["tail"] == ("a b.jsonl", "file")


def test_the_command_line_beats_the_environment_and_the_file(tmp_path: Path) -> None:
    """An option beats a variable, and a variable the file; the rest is still taken from them."""
    (tmp_path / "ricochet.toml").write_text('state = "f.state"\nhost = "127.0.0.2"\nlog_format = "json"\nport = 1\n')
    env = {"RICOCHET_HOST": "127.0.0.3", "RICOCHET_STATE": "e.state", "RICOCHET_TAIL": '["e.jsonl"]'}
    options = ("--port", "0", "--state", "c.state", "--tail", "c.jsonl")
    with started("run", *options, cwd=tmp_path, env=env) as child:
        said = child.line('"running"')
        assert "http://127.0.0.3:" in said
        assert ":1/" not in said
        assert "c.jsonl" in said
        assert "e.jsonl" not in said
        assert child.end() == 0
    assert (tmp_path / "c.state").exists()
    assert not (tmp_path / "e.state").exists()
    assert not (tmp_path / "f.state").exists()


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ("bogus = 1", "bogus"),
        ("[run]\nport = 1", "run"),
        ('port = "many"', "port"),
        ("port = 70000", "port"),
        ("port = -1", "port"),
        ('log_level = "loud"', "log_level"),
        ("retention_days = 0", "retention_days"),
        ("offers_shown = -1", "offers_shown"),
        ("tail = 7", "tail"),
        ('host = ""', "host"),
        ('topic_prefix = "a b"', "topic_prefix"),
        ("replication = 0", "replication"),
        ('hash_key = "short"', "hash_key"),
        ('kafka = "broker:port"', "kafka"),
        ('kafka_options = { security_protocol = "TLS" }', "kafka_options.security_protocol"),
        ('kafka_options = { acks = "0" }', "kafka_options.acks"),
        ('kafka_options = { ssl_cafile = "missing.pem" }', "kafka_options.ssl_cafile"),
        ('kafka_options = { security_protocol = "SASL_SSL" }', "SASL needs sasl_mechanism"),
        ("port = ", "settings.toml"),
        ("port = 1\nport = 2", "settings.toml"),
        ("\udcff", "settings.toml"),
    ],
)
def test_what_is_wrong_in_the_file_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str, named: str
) -> None:
    """An unknown key, a bad value or bad TOML is refused with a line that names it."""
    (tmp_path / "settings.toml").write_text(content, errors="surrogateescape")
    monkeypatch.setenv(FILE_VARIABLE, str(tmp_path / "settings.toml"))
    with pytest.raises(RicochetError, match=re.escape(named)):
        load()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("RICOCHET_PORT", "many"),
        ("RICOCHET_PORT", ""),
        ("RICOCHET_LOG_FORMAT", "xml"),
        ("RICOCHET_OFFERS_SHOWN", "1.5"),
        ("RICOCHET_TAIL", "[7"),
        ("RICOCHET_HOST", ""),
        ("RICOCHET_SETTINGS", "missing.toml"),
        ("RICOCHET_SETTINGS", "."),
        ("RICOCHET_THRESHOLDS", '{"viral_sharse": 50}'),
        ("RICOCHET_THRESHOLDS", '{"viral_shares": 0.5}'),
    ],
)
def test_what_is_wrong_in_the_environment_is_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    """A bad value in the environment is refused with a line that names the setting."""
    monkeypatch.setenv(name, value)
    with pytest.raises(RicochetError, match=re.compile(name.removeprefix(PREFIX), re.IGNORECASE)):
        load()


def test_one_threshold_can_be_set_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable of its own sets a threshold; the others keep their defaults."""
    monkeypatch.setenv("RICOCHET_THRESHOLDS__VIRAL_SHARES", "50")
    monkeypatch.setenv("RICOCHET_THRESHOLDS__VIRAL_PASSED_ON", "0.2")
    assert load().thresholds.thresholds() == Thresholds(viral_shares=50, viral_passed_on=0.2)


def test_secrets_are_hidden_and_reach_the_client(here: Here, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Passwords are shown as stars, and given to Kafka's client in clear; a file that holds one does as well."""
    trustme.CA().cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    (tmp_path / "kafka.password").write_text("geheim\n")
    options = (
        '[kafka_options]\nsecurity_protocol = "SASL_SSL"\nsasl_mechanism = "PLAIN"\nsasl_plain_username = "ricochet"\n'
        'ssl_cafile = "ca.pem"\n'
    )
    monkeypatch.chdir(tmp_path)
    for password in ('sasl_plain_password = "geheim"\n', 'sasl_plain_password_file = "kafka.password"\n'):
        (tmp_path / "ricochet.toml").write_text(options + password)
        shown = here.out("settings", cwd=tmp_path)
        assert "geheim" not in shown + repr(load())
        assert "sasl_plain_username=ricochet" in "".join(shown.split())
        client = load().kafka_options.client()
        context = client.pop("ssl_context")
        assert client == {
            "security_protocol": "SASL_SSL",
            "sasl_mechanism": "PLAIN",
            "sasl_plain_username": "ricochet",
            "sasl_plain_password": "geheim",
        }
        assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)


def test_the_hash_key_stands_in_a_setting_or_in_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Either gives the same names; without a key nothing is hashed; both, or too short a key, are refused."""
    secret = "0123456789abcdef"
    (tmp_path / "key").write_text(f"{secret}\n")
    (tmp_path / "short").write_text("short\n")
    assert load().hashing is None
    monkeypatch.setenv("RICOCHET_OWN", "x:acme")
    from_file, from_setting = load(hash_key_file=tmp_path / "key").hashing, load(hash_key=secret).hashing
    assert from_file is not None
    assert from_setting is not None
    assert from_file.name("x:ana") == from_setting.name("x:ana") != "x:ana"
    assert from_file.name("x:acme") == "x:acme"
    with pytest.raises(RicochetError, match="one of them"):
        _ = load(hash_key_file=tmp_path / "key", hash_key=secret).hashing
    with pytest.raises(RicochetError, match=r"none: No such file"):
        _ = load(hash_key_file=tmp_path / "none").hashing
    with pytest.raises(RicochetError, match="at least 16"):
        _ = load(hash_key_file=tmp_path / "short").hashing


def test_erased_accounts_are_remembered_under_a_key_of_its_own(tmp_path: Path) -> None:
    """It is a secret as the hash key is; without one it follows from the hash key, and is not that itself."""
    (tmp_path / "key").write_text("fedcba9876543210\n")
    own = load(suppression_key="fedcba9876543210").keeping.suppression_key
    assert load(suppression_key_file=tmp_path / "key").keeping.suppression_key == own == b"fedcba9876543210"
    hashed = load(hash_key="0123456789abcdef")
    assert hashed.keeping.suppression_key not in (b"", own, b"0123456789abcdef")
    assert hashed.keeping_all.suppression_key == hashed.keeping.suppression_key
    assert load(hash_key="0123456789abcdef", suppression_key="fedcba9876543210").keeping.suppression_key == own
    with pytest.raises(RicochetError, match="one of them"):
        _ = load(suppression_key_file=tmp_path / "key", suppression_key="fedcba9876543210").keeping
    with pytest.raises(RicochetError, match="setting suppression_key"):
        load(suppression_key="short")


def test_a_network_keeps_no_longer_than_all() -> None:
    """Days of a network count where they are fewer; the defaults stand for those that are not named."""
    keeping = load(retention_days=60, network_retention_days={"x": 7, "bluesky": 90}).keeping
    days = {
        network: (keeping.of(network) or 0) // DAY_MS for network in ("x", "bluesky", "linkedin", "threads", "other")
    }
    assert days == {"x": 7, "bluesky": 60, "linkedin": 30, "threads": 60, "other": 60}
    with pytest.raises(RicochetError, match=r"network_retention_days\.x"):
        load(network_retention_days={"x": 0})


def test_wrong_settings_are_one_line_whatever_the_command(here: Here, tmp_path: Path) -> None:
    """Each command that reads settings refuses wrong ones in one line."""
    (tmp_path / "good.toml").write_text("port = 1\n")
    (tmp_path / "ricochet.toml").write_text("bogus = 1\n")
    for args in ("settings", "run --tail e", "report", "demo --for 1", "topics check", "worker", "doctor"):
        assert "bogus" in here.ended(*args.split(), cwd=tmp_path).complaint()
    env = {"RICOCHET_PORT": "many", FILE_VARIABLE: "good.toml"}
    assert "port" in here.ended("settings", cwd=tmp_path, env=env).complaint()


COMMANDS: list[tuple[str, click.Command]] = [
    ("", ricochet),
    *ricochet.commands.items(),
    *((f"topics {name}", command) for name, command in topics.commands.items()),
]


def test_the_commands_are_those_of_this_version() -> None:
    """The commands that users may rely on are there."""
    assert {"demo", "run", "worker", "replay", "report", "settings", "topics", "doctor"} <= set(ricochet.commands)


@pytest.mark.parametrize(("name", "command"), COMMANDS, ids=[name or "ricochet" for name, _ in COMMANDS])
def test_every_command_and_option_is_explained(here: Here, tmp_path: Path, name: str, command: click.Command) -> None:
    """`--help` of each command says what it does and what each option is for."""
    out = here.out(*name.split(), "--help", cwd=tmp_path)
    assert command.help
    assert " ".join(command.help.split())[:40] in " ".join(out.split())
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert parameter.help and parameter.help.endswith("."), (name, parameter.name)
            assert parameter.opts[0] in out
    for subcommand in getattr(command, "commands", {}):
        assert subcommand in out


def test_the_version_is_said(tmp_path: Path) -> None:
    """`ricochet --version` names the package and its version, in a process of its own."""
    said = ended("--version", cwd=tmp_path)
    assert (said.code, said.out.split()) == (0, ["ricochet", version("ricochet")])
