"""Secrets: they stand in the environment or in files, and nothing that Ricochet says has one in it."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path

import pytest

from connectors import catalogue
from ricochet.settings import load
from tests.processes import Ended, address, ended, good, started, until
from tests.receiver import Receiver
from tests.rehearsals import Rehearsal, rehearsals

KEY = "0123456789abcdef-geheim"
GIVEN = {
    "RICOCHET_HASH_KEY": KEY,
    "RICOCHET_WEB_TOKEN": "geheim-web-token-1",
    "RICOCHET_ALERTMANAGER_USER": "ann",
    "RICOCHET_ALERTMANAGER_PASSWORD": "geheim-alertmanager",
    "RICOCHET_KAFKA_OPTIONS__SECURITY_PROTOCOL": "SASL_SSL",
    "RICOCHET_KAFKA_OPTIONS__SASL_MECHANISM": "PLAIN",
    "RICOCHET_KAFKA_OPTIONS__SASL_PLAIN_USERNAME": "ricochet",
    "RICOCHET_KAFKA_OPTIONS__SASL_PLAIN_PASSWORD": "geheim-kafka",
    "RICOCHET_KAFKA_OPTIONS__SSL_PASSWORD": "geheim-key",
    **{
        f"RICOCHET_CONNECTORS__{kind.declared.name.upper()}__{option.name.upper()}": f"geheim-{option.name}"
        for kind in catalogue.connectors()
        for option in kind.declared.options
        if option.secret
    },
}
WITH_SECRETS = [kind.declared.name for kind in catalogue.connectors() if any(o.secret for o in kind.declared.options)]


def told(ran: Ended) -> str:
    """Give all that a command said."""
    return ran.out + ran.err


def test_settings_show_no_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`ricochet settings`, and the settings as any log or error would write them, show stars in their place."""
    assert len(GIVEN) > 12, "the connectors have secrets"
    shown = told(good("settings", cwd=tmp_path, env=GIVEN | {"COLUMNS": "100000"}))
    assert "sasl_plain_username=ricochet" in shown
    assert "geheim" not in shown
    for name, value in GIVEN.items():
        monkeypatch.setenv(name, value)
    assert load().token == GIVEN["RICOCHET_WEB_TOKEN"]
    assert "geheim" not in repr(load()) + str(load())


BAD = {
    "another setting": ({"RICOCHET_PORT": "many"}, None),
    "JSON that is none": ({"RICOCHET_KAFKA_OPTIONS": '{"sasl_plain_password": "geheim'}, None),
    "a list": ({"RICOCHET_KAFKA_OPTIONS": '{"sasl_plain_password": ["geheim"]}'}, None),
    "an option that is none": ({"RICOCHET_KAFKA_OPTIONS": '{"password": "geheim"}'}, None),
    "too short": ({"RICOCHET_HASH_KEY": "geheim"}, None),
    "too short a token": ({"RICOCHET_WEB_TOKEN": "geheim"}, None),
    "TOML without an end": ({}, 'hash_key = "geheim'),
    "TOML twice": ({}, 'hash_key = "geheim-geheim-geheim"\nhash_key = "geheim-geheim-geheim"'),
    "an option of no connector": ({}, '[connectors.x]\nbearer = "geheim"'),
    "a table": ({}, '[connectors.x]\nbearer_token = { a = "geheim" }'),
    "a setting that is none": ({}, 'hash_keys = "geheim-geheim-geheim"'),
}


@pytest.mark.parametrize(("env", "file"), BAD.values(), ids=BAD)
def test_what_is_wrong_with_the_settings_is_said_without_a_secret(
    tmp_path: Path, env: dict[str, str], file: str | None
) -> None:
    """A line says which setting is wrong, and not what stands there."""
    if file is not None:
        (tmp_path / "ricochet.toml").write_text(file)
    ran = ended("connect", "x", "--check", cwd=tmp_path, env={"RICOCHET_LOG_LEVEL": "debug", **env})
    assert ran.code in (1, 2)
    assert "geheim" not in told(ran)
    assert "Traceback" not in told(ran)


@pytest.mark.parametrize("kind", ["hash_key", "web_token"])
def test_a_file_of_a_secret_is_named_and_not_quoted(tmp_path: Path, kind: str) -> None:
    """A file that is too short, no text, or not there, is told by its name."""
    (tmp_path / "short").write_text("geheim")
    (tmp_path / "bytes").write_bytes(b"geheim-geheim-geheim\xff")
    (tmp_path / "e").write_bytes(b"")
    for name in ("short", "bytes", "missing"):
        env = {f"RICOCHET_{kind.upper()}_FILE": name, "RICOCHET_LOG_LEVEL": "debug"}
        connector = ("--connect", "bluesky") if kind == "hash_key" else ()
        complaint = ended("run", "--tail", "e", "--port", "0", *connector, cwd=tmp_path, env=env).complaint()
        assert f"{kind}_file: {name}" in complaint
        assert "geheim" not in complaint


@pytest.fixture(params=WITH_SECRETS)
def network(request: pytest.FixtureRequest) -> Iterator[tuple[str, Rehearsal]]:
    """Give each network that wants a secret, in small."""
    with rehearsals()[request.param]() as server:
        yield request.param, server


def test_no_connector_says_its_secrets(network: tuple[str, Rehearsal], tmp_path: Path) -> None:
    """At work and when it is checked, at the level of debugging, on a network that refuses a call, nothing is said."""
    name, server = network
    declared = next(kind.declared for kind in catalogue.connectors() if kind.declared.name == name)
    secrets = [str(server.options[one.name]) for one in declared.options if one.secret and one.name in server.options]
    assert secrets
    env = {"RICOCHET_HASH_KEY": KEY, "RICOCHET_LOG_LEVEL": "debug", "RICOCHET_RECEIVER_PORT": "0"}
    for option, value in server.options.items():
        text = ",".join(value) if isinstance(value, list) else str(value)
        env[f"RICOCHET_CONNECTORS__{name.upper()}__{option.upper()}"] = text
    said = told(ended("connect", name, "--check", cwd=tmp_path, env=env))
    if server.limits:
        server.limit(1)
    server.spread(2)
    with started("run", "--connect", name, "--port", "0", cwd=tmp_path, env=env) as child:
        child.base = address(child.line("running"))

        def works() -> bool:
            found = [n for (metric, _), n in child.samples().items() if metric == "ricochet_connector_reading"]
            return found == [1.0]

        until(works, f"the connector to be at work: {child.said}", 0.1)
        page = child.get("/metrics").text + child.get("/offers").text
        argv = Path(f"/proc/{child.pid}/cmdline").read_text()
        child.end()
        everything = "\n".join([said, page, argv, *child.said])
    assert not [secret for secret in [*secrets, KEY] if secret in everything]


def test_the_digest_shows_alertmanager_the_password_of_the_settings(tmp_path: Path) -> None:
    """User and password, of a file or the environment, are shown to Alertmanager alone, and never said."""
    (tmp_path / "e").write_bytes(b"")
    (tmp_path / "password").write_text("geheim\n")
    user = {"RICOCHET_ALERTMANAGER_USER": "ann", "RICOCHET_LOG_LEVEL": "debug"}
    given = user | {"RICOCHET_ALERTMANAGER_PASSWORD": "geheim"}
    filed = user | {"RICOCHET_ALERTMANAGER_PASSWORD_FILE": "password"}
    with started("run", "--tail", "e", "--port", "0", cwd=tmp_path) as child, Receiver() as alertmanager:
        to = ("digest", "--at", address(child.line("running")), "--send", alertmanager.url)
        assert good(*to, cwd=tmp_path).out == f"sent to {alertmanager.url}\n"
        assert alertmanager.tokens == {None}
        for env in (given, filed):
            alertmanager.tokens.clear()
            assert "geheim" not in told(good(*to, cwd=tmp_path, env=env))
            assert alertmanager.tokens == {f"Basic {b64encode(b'ann:geheim').decode()}"}
        assert "geheim" not in ended(*to[:-1], f"{to[-1][:-1]}0", cwd=tmp_path, env=given).complaint()
        for half in (user, {"RICOCHET_ALERTMANAGER_PASSWORD": "geheim"}):
            complaint = ended(*to, cwd=tmp_path, env=half).complaint()
            assert complaint == "ricochet: settings alertmanager_user and alertmanager_password_file: give both or none"
        child.end()


@pytest.mark.parametrize(
    ("option", "instead"), [("--at", "web_token_file"), ("--send", "alertmanager_user and alertmanager_password_file")]
)
@pytest.mark.parametrize("at", ["http://ann:geheim@127.0.0.1:1", "https://geheim@here/path?a=b"])
def test_an_address_with_a_password_is_refused(tmp_path: Path, option: str, instead: str, at: str) -> None:
    """What would stand in the list of processes is not taken; the line names the setting, and not the password."""
    complaint = ended("digest", option, at, cwd=tmp_path).complaint()
    assert complaint.startswith(f"ricochet: {option}: ")
    assert complaint.endswith(f"the settings: {instead}")
    assert "geheim" not in complaint


def test_no_link_is_said_with_its_query(tmp_path: Path) -> None:
    """Of an address that does not answer, what may be a key in it is not said."""
    for at in ("http://127.0.0.1:1/nothing?key=geheim", "http://127.0.0.1:1/?key=geheim"):
        assert "geheim" not in ended("digest", "--at", at, cwd=tmp_path).complaint()
