"""The installation: the compose file, its image and its config files, read as text and run without Docker."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import stat
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from ricochet.settings import PREFIX, Settings
from streams.cluster import Cluster
from streams.topics import Layout, topics
from tests import broker
from tests.brokers import cluster
from tests.containers import PORT, Containers, is_healthy
from tests.crew import crew, embedded, offers_of
from tests.crowd import crowd
from tests.installation import (
    ROOT,
    compose,
    env_file,
    image_environment,
    ricochets,
    services,
    stages,
    steps,
    yaml,
)
from tests.jetstream import Jetstream
from tests.monitoring import ALERTMANAGER, PROMETHEUS, monitor, native_copy, query, require
from tests.processes import HANG_S, Child, address, environment, good, started, until

REPLICATED = env_file(ROOT / "replicated.env")
LONG_RUNNING = {name: service for name, service in services().items() if service["restart"] != "no"}


# What the files say


def test_the_file_is_of_the_compose_schema() -> None:
    """The file is what the Compose specification allows."""
    check = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", "docker-compose.yml"]
    done = subprocess.run(check, cwd=ROOT, capture_output=True, text=True, timeout=HANG_S, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_image_is_pinned() -> None:
    """Images are named with their full version: ours as the project has it, Kafka's as the tests have it."""
    images = {name: service["image"] for name, service in services().items()}
    images |= {f"stage {n}": stage[0][1].split()[0] for n, stage in enumerate(stages())}
    for name, image in images.items():
        assert re.fullmatch(r"[a-z][a-z/]+:v?\d+\.\d+\.\d+(-slim-[a-z]+)?", image), name
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert {service["image"] for service in ricochets().values()} == {f"ricochet:{version}"}
    kafkas = ("kafka", "kafka-2", "kafka-3", "replicated-env-file")
    assert {images[name] for name in kafkas} == {f"apache/kafka:{broker.VERSION}"}
    page = (ROOT / "docs/operations.md").read_text()
    assert {images["stage 0"], images["stage 1"]} == set(re.findall(r"python:[\w.-]+", page))


def test_nothing_is_published_beyond_loopback() -> None:
    """Every published port is bound to loopback, and no two services want the same."""
    published = [port for service in services().values() for port in service.get("ports", [])]
    assert all(re.fullmatch(r"127\.0\.0\.1:\d+:\d+", port) for port in published)
    assert len({port.rsplit(":", 1)[0] for port in published}) == len(published)


def test_workers_can_be_scaled() -> None:
    """Nothing about a worker is there only once, and one that has ended is started again whatever its exit code."""
    worker = services()["worker"]
    assert not {"container_name", "hostname", "ports", "deploy"} & worker.keys()
    assert worker["restart"] == "unless-stopped"
    assert f"workers:{image_environment()['RICOCHET_DATA']}" in worker["volumes"]
    assert worker["depends_on"] == {"topics": {"condition": "service_completed_successfully"}}


def test_what_is_scraped_is_there() -> None:
    """Whatever the place, workers and connectors answer at the port that is scraped and that the health check asks."""
    scraped = [lookup for job in yaml(PROMETHEUS)["scrape_configs"] for lookup in job.get("dns_sd_configs", ())]
    assert [lookup["names"] for lookup in scraped] == [["worker"], ["connector"]]
    assert {lookup["port"] for lookup in scraped} == {int(PORT)}
    for name in ("worker", "connector"):
        assert services()[name]["command"][1:] == ["--port", PORT]
    assert f"'127.0.0.1', {PORT}," in dict(stages()[-1])["HEALTHCHECK"]


def test_services_may_do_little_and_say_how_they_are() -> None:
    """No service has a capability or can gain rights; ours can't write to their image; all that stay have a check."""
    for service in services().values():
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert not {"privileged", "cap_add", "user", "network_mode", "pid"} & service.keys()
    for service in ricochets().values():
        assert service["read_only"] is True
        assert service["tmpfs"] == ["/tmp"]
    assert "HEALTHCHECK" in dict(stages()[-1])
    for name, service in LONG_RUNNING.items():
        assert "build" in service or service["healthcheck"]["test"][0] == "CMD", name


def test_no_secret_is_inside() -> None:
    """Passwords come from outside and have no default; files that may hold them are never committed or copied."""
    files = ["docker-compose.yml", "Dockerfile", "replicated.env", *map(str, ROOT.glob("dashboards/**/*.yml"))]
    for file in files:
        for line in (ROOT / file).read_text().splitlines():
            found = re.search(r"(?i)\w*(password|secret|token|credential|api_?key)\w*[:=]\s*(.*)", line)
            harmless = (
                r"\$\{\w+:\?|$|-(/dev/null|\./secrets/[a-z.]+)\}$|\[[a-z-]+(, [a-z-]+)*\]$|/run/secrets/[a-z-]+( \})?$"
            )
            assert found is None or re.match(harmless, found[2]), line
    with pytest.raises(KeyError, match="GRAFANA_ADMIN_PASSWORD: choose a password"):
        compose()
    assert {".env", "secrets/"} <= set((ROOT / ".gitignore").read_text().splitlines())
    assert (ROOT / ".dockerignore").read_text().splitlines()[1] == "*"


def test_the_web_token_is_a_secret_of_who_answers_and_who_asks() -> None:
    """The token is a file beside the compose file, mounted where setting and scrape configuration name it."""
    whole = compose({"GRAFANA_ADMIN_PASSWORD": "some"})
    assert whole["secrets"]["web-token"] == {"file": "./secrets/web.token"}
    holders = [name for name, service in whole["services"].items() if "web-token" in service.get("secrets", ())]
    assert holders == ["worker", "connector", "prometheus"]
    inside = "/run/secrets/web-token"
    assert {service["environment"][f"{PREFIX}WEB_TOKEN_FILE"] for service in ricochets().values()} == {inside}
    scraped = [job for job in yaml(PROMETHEUS)["scrape_configs"] if "dns_sd_configs" in job]
    assert [job["authorization"] for job in scraped] == [{"credentials_file": inside}] * 2
    assert "secrets/web.token" in (ROOT / "docs/operations.md").read_text()


@pytest.mark.parametrize(
    ("place", "name", "holding"), [(0, "hash", ["worker", "connector"]), (1, "suppression", ["worker"])]
)
def test_keys_are_secrets_of_who_needs_them(place: int, name: str, holding: list[str]) -> None:
    """A key is a file beside the compose file, mounted for those alone who use it, where their setting names it."""
    whole = compose({"GRAFANA_ADMIN_PASSWORD": "some"})
    assert whole["secrets"][f"{name}-key"] == {"file": f"./secrets/{name}.key"}
    holders = [one for one, service in whole["services"].items() if f"{name}-key" in service.get("secrets", ())]
    assert holders == holding
    worker = whole["services"]["worker"]
    assert worker["environment"][f"{PREFIX}{name.upper()}_KEY_FILE"] == f"/run/secrets/{worker['secrets'][place]}"
    assert f"secrets/{name}.key" in (ROOT / "docs/operations.md").read_text()


def test_what_alertmanager_is_not_told_is_empty() -> None:
    """Alertmanager reads passwords, tokens and Slack's address from files that are mounted, empty by default."""
    whole = compose({"GRAFANA_ADMIN_PASSWORD": "some"})
    names = whole["services"]["alertmanager"]["secrets"]
    assert all(whole["secrets"][name] == {"file": "/dev/null"} for name in names)
    assert {f"/run/secrets/{name}" for name in names} == set(
        re.findall(r"/run/secrets/[a-z-]+", ALERTMANAGER.read_text())
    )


def test_what_is_mounted_is_there() -> None:
    """Files and folders that are mounted exist and can't be written; volumes have a name, and each is used."""
    whole = compose({"GRAFANA_ADMIN_PASSWORD": "some"})
    mounts = [mount.split(":") for service in whole["services"].values() for mount in service.get("volumes", [])]
    for source, _, *options in mounts:
        if source.startswith("."):
            assert source.startswith("./secrets/") or (ROOT / source).exists(), source
            assert options == ["ro"], source
    assert {mount[0] for mount in mounts if not mount[0].startswith(".")} == whole["volumes"].keys()
    for name, config in (("prometheus", PROMETHEUS), ("alertmanager", ALERTMANAGER)):
        flag = next(one for one in whole["services"][name]["command"] if one.startswith("--config.file="))
        inside = Path(flag.partition("=")[2])
        assert [f"./{config.parent.relative_to(ROOT)}", str(inside.parent), "ro"] in mounts
        assert config.name == inside.name


def test_every_variable_is_a_setting() -> None:
    """What the compose file, replicated.env and the image set for Ricochet are settings that it has."""
    names = {name for service in ricochets().values() for name in service["environment"]}
    names |= {name for name in (*REPLICATED, *image_environment()) if name.startswith(PREFIX)}
    assert {name.removeprefix(PREFIX).lower() for name in names} <= Settings.model_fields.keys()


def test_every_setting_of_a_container_can_be_given() -> None:
    """The environment passes on whatever a worker or a connector goes by; the rest is not for a container."""
    passed = {
        name.removeprefix(PREFIX).lower() for name in (*services()["worker"]["environment"], *image_environment())
    }
    embedded, by_option, in_files = {"state", "tail"}, {"port", "worker_port"}, {"connectors"}
    in_files |= {"hash_key", "suppression_key", "web_token", "alertmanager_password"}
    by_compose = {"advertise", "receiver_port"}
    elsewhere = embedded | by_option | in_files | by_compose
    assert Settings.model_fields.keys() - passed == elsewhere
    assert {service["working_dir"] for service in ricochets().values()} == {"/config"}
    assert all("./config:/config:ro" in service["volumes"] for service in ricochets().values())


def test_three_brokers_want_their_variables() -> None:
    """Without replicated.env the profile says what it wants, and no broker of it starts."""
    for variables, code in (({}, 2), (REPLICATED, 0)):
        found = services(variables)
        gate = found["replicated-env-file"]
        assert gate["profiles"] == found["kafka-2"]["profiles"] == found["kafka-3"]["profiles"] == ["replicated"]
        done = subprocess.run(
            gate["command"],
            env=gate["environment"] | {"PATH": os.environ["PATH"]},
            capture_output=True,
            text=True,
            check=False,
        )
        assert bool(done.returncode) == bool(code)
        assert ("three brokers need --env-file .env --env-file replicated.env" in done.stderr) == bool(code)
        for name in ("kafka-2", "kafka-3"):
            assert found[name]["depends_on"] == {"replicated-env-file": {"condition": "service_completed_successfully"}}


def test_commands_in_a_container_are_for_the_workers() -> None:
    """`ricochet offers`, `import` and `forget` take the installation's engine from the settings: here it is Kafka."""
    assert {service["environment"][f"{PREFIX}ENGINE"] for service in ricochets().values()} == {"kafka"}


@pytest.mark.parametrize("name", ricochets())
def test_every_command_is_one_that_ricochet_has(name: str, tmp_path: Path) -> None:
    """The services' commands are commands."""
    command = ricochets()[name]["command"]
    said = good(*command, "--help", cwd=tmp_path).out
    assert f"ricochet {' '.join(word for word in command if word.isalpha())}" in said


def test_grafana_finds_its_data_and_its_dashboards() -> None:
    """Grafana asks Prometheus where the compose file has it, and reads dashboards from where they are mounted.

    Grafana itself is in none of the places that the tests may install from, so this holds the shape alone.
    """
    provisioning = ROOT / "dashboards/grafana/provisioning"
    (source,) = yaml(provisioning / "datasources/prometheus.yml")["datasources"]
    assert (source["type"], source["uid"], source["isDefault"]) == ("prometheus", "prometheus", True)
    host, port = source["url"].removeprefix("http://").split(":")
    assert services()[host]["ports"][0].endswith(f":{port}")
    (provider,) = yaml(provisioning / "dashboards/ricochet.yml")["providers"]
    assert (provider["folder"], provider["type"], provider["allowUiUpdates"]) == ("Ricochet", "file", False)
    assert f"./dashboards/grafana/dashboards:{provider['options']['path']}:ro" in services()["grafana"]["volumes"]


# Kafka, by the image's own way from the environment to a formatted broker


NODES = {"kafka": {}, "replicated": REPLICATED}


TOKEN = "a token of nobody else"
GIVEN = {
    "RICOCHET_TOPIC_PREFIX": "acme-",
    "RICOCHET_SOCIAL_PARTITIONS": "2",
    "RICOCHET_OFFER_PARTITIONS": "3",
    "RICOCHET_AMBASSADORS": "ambassadors.csv",
    "CONNECTORS": "bluesky",
}
"""What an employer sets in .env."""


@pytest.mark.parametrize("variables", NODES.values(), ids=NODES)
def test_an_installation_starts_as_it_is_set_up(
    brokers_of_its_own: None, variables: dict[str, str], tmp_path: Path
) -> None:
    """One broker, and three with three replicas, take the topics of the one-shot; worker and connector get ready.

    Each service has its command, its whole environment and its files; the image's health check asks them.
    """
    replication = int(variables.get("RICOCHET_REPLICATION", "1"))
    wanted = topics(Layout("acme-", 2, 3, replication))
    with Jetstream() as jetstream, cluster(variables, tmp_path) as (servers, nodes):
        assert len(nodes) == replication
        there = Containers(GIVEN | variables, servers, tmp_path)
        furnish(tmp_path, jetstream)
        made = there.run("topics")
        assert made.code == 0, made
        with Cluster(servers) as connected:
            until(lambda: connected.check(wanted) == [], "the topics to be as they should")
        for name in ("worker", "connector"):
            with there.started(name) as child:
                child.line({"worker": '"event": "working"', "connector": '"event": "connecting"'}[name])
                until(lambda base=child.base: is_healthy(base), f"{name} is healthy", every_s=0.2)  # type: ignore[misc]
                assert child.get("/metrics").status_code == 401, "without the token"
                assert child.end() == 0, child.said
        assert list((tmp_path / "workers/1").rglob("*.db"))
        assert (tmp_path / "connectors/journals/bluesky.journal").exists()
        shown = there.run("worker", "settings").out
        assert re.search(r"thresholds\W+takes_off_shares=7\W+file", shown), shown
        (tmp_path / "config/ambassadors.csv").unlink()
        assert (
            there.run("worker").complaint()
            == "ricochet: setting ambassadors: ambassadors.csv: No such file or directory"
        )


def furnish(folder: Path, jetstream: Jetstream) -> None:
    """Lay down what docs/operations.md has an employer lay down beside the compose file."""
    (folder / "secrets").mkdir()
    (folder / "secrets/hash.key").write_text("a key of nobody else\n")
    (folder / "secrets/suppression.key").write_text("another key of it\n")
    (folder / "secrets/web.token").write_text(f"{TOKEN}\n")
    (folder / "config").mkdir()
    (folder / "config/ambassadors.csv").write_text("account,name,consented\nx:7,Ana,2026-09-01\n")
    (folder / "config/ricochet.toml").write_text(
        f'thresholds = {{ takes_off_shares = 7 }}\n[connectors.bluesky]\njetstream = "{jetstream.url}"\n'
    )


# Prometheus and Alertmanager, of Debian's versions


@pytest.fixture
def monitoring() -> None:
    """Hold up the tests that need Prometheus and Alertmanager where they are missing."""
    require()


@pytest.mark.parametrize("check", [["promtool", "check", "config"], ["amtool", "check-config"]])
def test_config_files_are_valid(monitoring: None, check: list[str | Path], tmp_path: Path) -> None:
    """The tools that come with Prometheus and Alertmanager find nothing wrong."""
    check = [*check, ALERTMANAGER if check[0] == "amtool" else native_copy(tmp_path / "prometheus.yml", {})]
    done = subprocess.run(check, capture_output=True, text=True, timeout=HANG_S, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_prometheus_scrapes_and_knows_where_to_send_alerts(monitoring: None, tmp_path: Path) -> None:
    """With the config files and flags of the compose file, addresses and a token of here, everything is seen to be up.

    The health checks of both, and that of our image, tell what is up from what is not.
    """
    (tmp_path / "web-token").write_text(f"{TOKEN}\n")
    (tmp_path / "ricochet.toml").write_text('web_token_file = "web-token"\n')
    with started("demo", cwd=tmp_path) as demo:
        demo.base = address(demo.line("/metrics"))
        assert demo.get("/metrics").status_code == 401, "without the token"
        ports = dict(zip(("prometheus", "alertmanager"), broker.free_ports(2), strict=True))
        places = {
            "worker:8780": demo.base.removeprefix("http://"),
            "alertmanager:9093": f"127.0.0.1:{ports['alertmanager']}",
            "127.0.0.1:9090": f"127.0.0.1:{ports['prometheus']}",
        }
        scraping = native_copy(tmp_path / "prometheus.yml", places)
        assert not healthy("prometheus", ports["prometheus"])
        assert not healthy("alertmanager", ports["alertmanager"])
        with (
            monitor("alertmanager", "prometheus-alertmanager", ALERTMANAGER, ports["alertmanager"], tmp_path),
            monitor("prometheus", "prometheus", scraping, ports["prometheus"], tmp_path) as prometheus,
        ):
            until(lambda: healthy("prometheus", ports["prometheus"]), "Prometheus", every_s=0.2)
            until(lambda: healthy("alertmanager", ports["alertmanager"]), "Alertmanager", every_s=0.2)
            jobs = {job["job_name"] for job in yaml(PROMETHEUS)["scrape_configs"]} - {"ricochet-connectors"}
            until(lambda: up(prometheus) == jobs, f"{jobs} to be up", every_s=0.2)
            until(lambda: query(prometheus, "sum(ricochet_events_total)") > 0, "events to be seen", every_s=0.2)
            known = prometheus.get("/api/v1/alertmanagers").json()["data"]["activeAlertmanagers"]
            assert [one["url"] for one in known] == [f"http://{places['alertmanager:9093']}/api/v2/alerts"]
        assert is_healthy(demo.base)
        assert demo.lives()
    assert not is_healthy(demo.base)


def healthy(name: str, port: int) -> bool:
    """Ask a service's own health check, at another port."""
    service = services()[name]
    inside = service["ports"][0].rsplit(":", 1)[1]
    check = [word.replace(f"127.0.0.1:{inside}", f"127.0.0.1:{port}") for word in service["healthcheck"]["test"][1:]]
    return not subprocess.run(check, capture_output=True, timeout=HANG_S, check=False).returncode


def up(prometheus: Child) -> set[str]:
    """Give the jobs of which every target is up."""
    try:
        targets = prometheus.get("/api/v1/targets").json()["data"]["activeTargets"]
    except httpx.TransportError:
        return set()
    down = {target["labels"]["job"] for target in targets if target["health"] != "up"}
    return {target["labels"]["job"] for target in targets} - down


# The image's steps


def test_the_image_is_nobodys_root() -> None:
    """The image runs as a fixed user that is not root, and starts Ricochet."""
    last = dict(stages()[-1])
    uid, gid = last["USER"].split(":")
    assert int(uid) == int(gid) > 0
    assert f"--uid {uid} " in last["RUN"]
    assert last["ENTRYPOINT"] == '["ricochet"]'
    assert json.loads(last["CMD"]) == services()["worker"]["command"]


@pytest.fixture(scope="module")
def image() -> Iterator[Path]:
    """Take the first stage's steps in a folder, and give where they installed Ricochet, with all writing forbidden."""
    with tempfile.TemporaryDirectory(prefix="ricochet-image-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        here, there = folder / "build", folder / "ricochet"
        here.mkdir()
        allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
        with tempfile.TemporaryDirectory(prefix="ricochet-home-") as home:
            env = environment({"HOME": home, "PATH": f"{folder / 'bin'}:{os.environ['PATH']}"})
            env.pop("VIRTUAL_ENV", None)
            (folder / "bin").mkdir()
            for program, module in (("python", ""), ("pip", "-m pip")):
                (folder / "bin" / program).write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} {module} "$@"\n')
                (folder / "bin" / program).chmod(0o755)
            for step, rest in stages()[0]:
                if step == "COPY":
                    *sources, target = rest.split()
                    assert set(sources) <= allowed
                    for source in sources:
                        copy(ROOT / source, here / target)
                elif step == "RUN":
                    shell = ["sh", "-euc", rest.replace("/opt/ricochet", str(there))]
                    done = subprocess.run(
                        shell, cwd=here, env=env, capture_output=True, text=True, timeout=900, check=False
                    )
                    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
        paths = [path for path in (there, *there.rglob("*")) if not path.is_symlink()]
        for path in paths:
            path.chmod(stat.S_IMODE(path.stat().st_mode) & ~0o222)
        yield there
        for path in paths:
            path.chmod(stat.S_IMODE(path.stat().st_mode) | 0o200)


def copy(source: Path, target: Path) -> None:
    """Copy as Docker does: a file into a folder, a folder's contents to the target, no caches."""
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copy(source, target)


def test_the_image_runs_where_nothing_can_be_written(image: Path) -> None:
    """What the first stage installs runs without the right to write anything, and writes nothing."""
    assert ("COPY", "--from=build /opt/ricochet /opt/ricochet") in steps()
    before = sorted(image.rglob("*"))
    env = environment(image_environment() | {"PATH": f"{image / 'bin'}:/usr/bin:/bin", "HOME": str(image)})
    # Root may write anywhere, but for its capabilities, which the compose file takes away too.
    like_there = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"] if os.geteuid() == 0 else []
    commands = [["--version"], ["settings"], ["demo", "--for", "1s"]]
    commands += [[*service["command"], "--help"] for service in ricochets().values()]
    for command in [["sh", "-c", "! touch here"], *(["ricochet", *command] for command in commands)]:
        done = subprocess.run(
            [*like_there, *command], cwd=image, env=env, capture_output=True, text=True, timeout=HANG_S, check=False
        )
        assert done.returncode == 0, (command, done.stderr)
    assert sorted(image.rglob("*")) == before


READ_ONLY = """
mount --make-rprivate /
mount --bind "$RICOCHET_DATA" "$RICOCHET_DATA"
if [ "$CLOSED" ]; then  # others may not enter the folder that the interpreter is in: it is put into an open one
  mount --bind "$PYTHON" "$TMPDIR"
  mount -t tmpfs -o mode=755 none "$CLOSED"
  mkdir -p "$PYTHON"
  mount --move "$TMPDIR" "$PYTHON"
fi
mount -t tmpfs none "$TMPDIR"
mount -o remount,bind,ro /
for place in / /var/tmp "$PWD"; do
  if touch "$place/probe" 2>/dev/null; then echo "$place can be written"; exit 3; fi
done
exec $BECOMING --bounding-set=-all --inh-caps=-all --ambient-caps=-all --no-new-privs "$@"
"""
"""What the compose file has Docker do: a root that can't be written, a /tmp in memory, a volume, a user, no rights."""


@contextmanager
def confined(image: Path, folder: Path, env: dict[str, str], *command: str) -> Iterator[Child]:
    """Start a command of the image as its user, with a root that can't be written; data and /tmp are in a folder."""
    data, scratch = folder / "data", folder / "scratch"
    data.mkdir()
    scratch.mkdir()
    user, group = map(int, dict(stages()[-1])["USER"].split(":"))
    python = Path(sys.base_prefix)
    closed = ""
    if os.geteuid() == 0:
        os.chown(data, user, group)
        closed = next((str(path) for path in [*python.parents][::-1] if not path.stat().st_mode & stat.S_IXOTH), "")
        alone, becoming = ["unshare", "--mount"], f"setpriv --reuid={user} --regid={group} --clear-groups"
    else:  # who is not root can become nobody else, but for the name of it
        alone = ["unshare", "--mount", "--map-root-user"]
        becoming = f"unshare --user --keep-caps --map-user={user} --map-group={group} setpriv"
    if subprocess.run([*alone, "true"], capture_output=True, check=False).returncode:
        lacking = "no mount namespace can be had here (user namespaces are switched off)"
        pytest.fail(lacking) if os.environ.get("CI") == "true" else pytest.skip(lacking)
    inside = image_environment() | {"PATH": f"{image / 'bin'}:/usr/bin:/bin", "HOME": str(image)}
    inside |= {"RICOCHET_DATA": str(data), "TMPDIR": str(scratch)} | env
    inside |= {"CLOSED": closed, "PYTHON": str(python), "BECOMING": becoming}
    args = [*alone, "sh", "-euc", READ_ONLY, "sh", "ricochet", *command]
    with Child(args, image, environment(inside)) as child:
        yield child


@pytest.fixture
def volumes() -> Iterator[Path]:
    """Give a folder that other users may enter, as those of the tests may not be."""
    with tempfile.TemporaryDirectory(prefix="ricochet-volumes-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


def rights(child: Child) -> dict[str, list[str]]:
    """Read what the kernel knows of a process: whose it is, and what it may do."""
    lines = Path(f"/proc/{child.pid}/status").read_text().splitlines()
    return {name: rest.split() for name, _, rest in (line.partition(":") for line in lines)}


def test_a_worker_needs_nothing_but_its_volume(
    image: Path, kafka: str, prefix: str, volumes: Path, tmp_path: Path
) -> None:
    """As the image's user, with a root that can't be written and no right, a worker takes events in and answers."""
    with crew(kafka, prefix, tmp_path) as hands:
        plain = {name: value for name, value in hands.env.items() if name != "RICOCHET_DATA"}
        with confined(image, volumes, plain | {"RICOCHET_HOST": "127.0.0.1"}, "worker", "--port", "0") as child:
            child.base = address(child.line('"event": "working"'))
            until(lambda: child.get("/readyz").status_code == 200, f"ready: {child.said}", every_s=0.1)
            user = dict(stages()[-1])["USER"].partition(":")[0] if os.geteuid() == 0 else str(os.geteuid())
            known = rights(child)
            assert {*known["Uid"]} == {user} != {"0"}
            assert "0" not in known["Gid"] + known["Groups"]
            assert {int(known[name][0], 16) for name in ("CapPrm", "CapEff", "CapBnd", "CapAmb")} == {0}
            assert known["NoNewPrivs"] == ["1"]
            lines = crowd(4, 100)
            hands.send(lines)
            hands.caught_up()
            assert hands.report(offers_of(lines)) == embedded(lines, tmp_path)
            assert child.end() == 0, child.said
        written = [path for path in (volumes / "data").rglob("*") if path.is_file()]
        assert written
        assert {str(path.stat().st_uid) for path in written} == {user}
