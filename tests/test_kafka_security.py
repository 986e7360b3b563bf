"""Kafka behind TLS: a broker that wants a password or a certificate, every command through it, and what is refused."""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from ricochet.errors import RicochetError
from ricochet.kafka_options import KafkaOptions
from ricochet.settings import load
from tests.broker import Broker, Secured, missing
from tests.crew import assert_same, crew, embedded, offers_of
from tests.crowd import crowd
from tests.processes import Ended, ended, good

OPTION = "RICOCHET_KAFKA_OPTIONS__"
WRONG = "falsch-9f8e7d"


@pytest.fixture(scope="module")
def secured(kafka_tools: None) -> Iterator[Secured]:
    """Give a broker that lets nobody in without a password or a certificate."""
    if missing() is not None:
        pytest.skip("a secured broker is asked for, and there is only that of KAFKA_BOOTSTRAP")
    guarded = Secured()
    with Broker(guarded):
        yield guarded


@pytest.fixture(scope="module")
def folder(secured: Secured, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder with the authority's certificate, another's, one of ours with its key, and the password."""
    made = tmp_path_factory.mktemp("secured")
    secured.authority.cert_pem.write_to_path(str(made / "ca.pem"))
    trustme.CA().cert_pem.write_to_path(str(made / "other.pem"))
    mine = secured.authority.issue_cert("ricochet")
    (made / "mine.pem").write_bytes(mine.private_key_and_cert_chain_pem.bytes())
    (made / "password").write_text(f"{secured.password}\n")
    return made


def with_password(secured: Secured, folder: Path, **more: str) -> dict[str, str]:
    """Give the settings of who has a password, in a file unless another is given."""
    return {
        "RICOCHET_KAFKA": secured.sasl,
        f"{OPTION}SECURITY_PROTOCOL": "SASL_SSL",
        f"{OPTION}SSL_CAFILE": str(folder / "ca.pem"),
        f"{OPTION}SASL_MECHANISM": "SCRAM-SHA-512",
        f"{OPTION}SASL_PLAIN_USERNAME": secured.user,
        **({} if "SASL_PLAIN_PASSWORD" in more else {f"{OPTION}SASL_PLAIN_PASSWORD_FILE": str(folder / "password")}),
        **{OPTION + name: value for name, value in more.items()},
    }


def with_certificate(secured: Secured, folder: Path) -> dict[str, str]:
    """Give the settings of who has a certificate."""
    return {
        "RICOCHET_KAFKA": secured.mutual,
        f"{OPTION}SECURITY_PROTOCOL": "SSL",
        f"{OPTION}SSL_CAFILE": str(folder / "ca.pem"),
        f"{OPTION}SSL_CERTFILE": str(folder / "mine.pem"),
    }


@pytest.mark.parametrize("how", ["SCRAM-SHA-512", "SCRAM-SHA-256", "a certificate"])
def test_every_command_works_behind_tls(secured: Secured, folder: Path, prefix: str, tmp_path: Path, how: str) -> None:
    """Topics, worker, replay with its report, offers, export, dead letters and doctor; and no secret is ever said."""
    env = (
        with_certificate(secured, folder)
        if how == "a certificate"
        else with_password(secured, folder, SASL_MECHANISM=how)
    )
    lines = crowd(3, 200)
    wanted = embedded(lines, tmp_path)
    with crew(env["RICOCHET_KAFKA"], prefix, tmp_path, env | {"RICOCHET_LOG_LEVEL": "debug"}) as hands:
        assert hands.command("topics", "check").out.startswith("all 8 topics")
        child = hands.start()
        hands.ready(child)
        replay = ("replay", "events.jsonl", "--to", "kafka", "--report", "given", "--edges", "given.edges")
        said = [hands.command(*replay)]
        given = (tmp_path / "given").read_bytes().splitlines(keepends=True)
        assert_same((b"".join(given[:-1]), (tmp_path / "given.edges").read_bytes()), wanted)
        offer = offers_of(lines)[0]
        (tmp_path / "offers.csv").write_text(f"id,title\n{offer},Data Engineer\n")
        said.append(hands.command("offers", "import", "offers.csv", "--to", "kafka"))
        assert "Data Engineer" in hands.command("offers", "list", "--to", "kafka").out
        said.append(hands.command("export", offer, "--to", "kafka", "--out", "graph.csv"))
        assert hands.command("rejected", "list").err == "0 rejected\n"
        said.append(hands.command("doctor"))
        said.append(hands.command("settings"))
        argv = Path(f"/proc/{child.pid}/cmdline").read_bytes().decode()
        hands.stop(child)
        everything = [argv, *child.said, *(part for one in said for part in (one.out, one.err))]
        assert not [line for line in everything if secured.password in line]


def test_a_plain_password_works_too(secured: Secured, folder: Path, prefix: str, tmp_path: Path) -> None:
    """SASL PLAIN, within TLS, opens the broker as well."""
    env = with_password(secured, folder, SASL_MECHANISM="PLAIN", SASL_PLAIN_PASSWORD=secured.password)
    made = good("topics", "create", cwd=tmp_path, env=env | {"RICOCHET_TOPIC_PREFIX": prefix})
    assert f"made {prefix}offers with 8 partitions" in made.out


FAULTS: Mapping[str, tuple[str, Mapping[str, str]]] = {
    "wrong password": ("user (or|and) password", {"SASL_PLAIN_PASSWORD": WRONG}),
    "wrong password, plain": ("user (or|and) password", {"SASL_PLAIN_PASSWORD": WRONG, "SASL_MECHANISM": "PLAIN"}),
    "untrusted authority": ("certificate verify failed", {"SSL_CAFILE": "other.pem"}),
    "wrong host name": ("Hostname mismatch, certificate is not valid for 'localhost'", {}),
    "wrong protocol": ("security_protocol", {"SECURITY_PROTOCOL": "SASL_PLAINTEXT"}),
    "no certificate": ("does not take this certificate|closes the connection", {"SECURITY_PROTOCOL": "SSL"}),
}
COMMANDS = ("worker", "rejected list", "replay - --to kafka")


@pytest.fixture(scope="module")
def refused(secured: Secured, folder: Path) -> dict[tuple[str, str], Ended]:
    """Run each command with each fault, several at a time: every one waits for a broker that may only be slow."""

    def run(case: tuple[str, str]) -> Ended:
        fault, command = case
        env = with_password(secured, folder, **FAULTS[fault][1])
        if fault == "wrong host name":
            env["RICOCHET_KAFKA"] = secured.sasl.replace("127.0.0.1", "localhost")
        if fault == "no certificate":
            env["RICOCHET_KAFKA"] = secured.mutual
        return ended(*command.split(), cwd=folder, env=env | {"RICOCHET_LOG_LEVEL": "debug"}, hang_s=180)

    cases = [(fault, command) for fault in FAULTS for command in COMMANDS]
    with ThreadPoolExecutor(10) as pool:
        return dict(zip(cases, pool.map(run, cases), strict=True))


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("fault", FAULTS)
def test_what_is_refused_is_one_line(
    refused: Mapping[tuple[str, str], Ended], secured: Secured, fault: str, command: str
) -> None:
    """A wrong password, certificate, host name or protocol is told in a line with exit code 2, and without a secret."""
    ran = refused[fault, command]
    complaint = ran.complaint()
    assert complaint.startswith("ricochet: Kafka at ")
    assert re.search(FAULTS[fault][0], complaint)
    assert WRONG not in ran.err + ran.out
    assert secured.password not in ran.err + ran.out


def test_host_names_may_be_left_unchecked_and_certificates_never(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a broker's name is not the one in its certificate that can be let pass; the authority is checked still."""
    monkeypatch.setenv("RICOCHET_KAFKA_OPTIONS", '{"security_protocol": "SSL", "ssl_check_hostname": false}')
    context = load().kafka_options.client()["ssl_context"]
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, False)


def test_certificates_and_keys_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    """A file that holds no certificate, and a key under a passphrase that is not given or wrong, are told in a line."""
    mine = trustme.CA().issue_cert("ricochet")
    (tmp_path / "empty").write_text("")
    (tmp_path / "mine.pem").write_bytes(mine.private_key_and_cert_chain_pem.bytes())
    locked = load_pem_private_key(mine.private_key_pem.bytes(), None).private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"richtig")
    )
    (tmp_path / "locked.pem").write_bytes(locked)

    def made(**more: object) -> ssl.SSLContext | None:
        return KafkaOptions.model_validate({"security_protocol": "SSL", **more}).context()

    with pytest.raises(RicochetError, match=r"ssl_cafile: .*empty"):
        made(ssl_cafile=tmp_path / "empty")
    with pytest.raises(RicochetError, match=r"ssl_certfile: .*empty"):
        made(ssl_certfile=tmp_path / "empty")
    key = {"ssl_certfile": tmp_path / "mine.pem", "ssl_keyfile": tmp_path / "locked.pem"}
    assert made(**key, ssl_password="richtig") is not None
    for password in ({}, {"ssl_password": "geheim"}):
        with pytest.raises(RicochetError, match=r"ssl_certfile: .*mine") as raised:
            made(**key, **password)
        assert "geheim" not in str(raised.value)
