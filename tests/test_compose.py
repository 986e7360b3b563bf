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
from pathlib import Path

import httpx
import pytest

from ricochet.settings import PREFIX, Settings
from streams.cluster import Cluster
from streams.topics import Layout, topics
from tests import broker
from tests.brokers import cluster
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
    assert images["kafka"] == images["kafka-2"] == images["kafka-3"] == f"apache/kafka:{broker.VERSION}"
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
    assert worker["volumes"] == [f"workers:{image_environment()['RICOCHET_DATA']}"]
    assert worker["depends_on"] == {"topics": {"condition": "service_completed_successfully"}}
    # Whatever the place, the port is the one that is scraped and that the health check asks.
    (lookup,) = yaml(PROMETHEUS)["scrape_configs"][0]["dns_sd_configs"]
    assert (lookup["names"], worker["command"]) == (["worker"], ["worker", "--port", str(lookup["port"])])
    assert f"'127.0.0.1', {lookup['port']}," in dict(stages()[-1])["HEALTHCHECK"]


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
            harmless = r"\$\{\w+:\?|$|-/dev/null\}$|\[[a-z-]+(, [a-z-]+)*\]$|/run/secrets/[a-z-]+$"
            assert found is None or re.match(harmless, found[2]), line
    with pytest.raises(KeyError, match="GRAFANA_ADMIN_PASSWORD: choose a password"):
        compose()
    assert {".env", "secrets/"} <= set((ROOT / ".gitignore").read_text().splitlines())
    assert (ROOT / ".dockerignore").read_text().splitlines()[1] == "*"


@pytest.mark.parametrize(("place", "name"), [(0, "hash"), (1, "suppression")])
def test_keys_are_secrets_of_the_workers(place: int, name: str) -> None:
    """A key is a file beside the compose file, that workers alone have mounted, where their setting names it."""
    whole = compose({"GRAFANA_ADMIN_PASSWORD": "some"})
    assert whole["secrets"][f"{name}-key"] == {"file": f"./secrets/{name}.key"}
    holders = [one for one, service in whole["services"].items() if f"{name}-key" in service.get("secrets", ())]
    assert holders == ["worker"]
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
            assert (ROOT / source).exists(), source
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


@pytest.mark.parametrize("variables", NODES.values(), ids=NODES)
def test_kafka_starts_as_it_is_set_up(brokers_of_its_own: None, variables: dict[str, str], tmp_path: Path) -> None:
    """One broker, and three with three replicas of each topic, start with these settings and take the topics."""
    replication = int(variables.get("RICOCHET_REPLICATION", "1"))
    wanted = topics(Layout("acme-", 2, 3, replication))
    with cluster(variables, tmp_path) as (servers, nodes), Cluster(servers) as connected:
        assert len(nodes) == replication
        connected.create(wanted)
        until(lambda: connected.check(wanted) == [], "the topics to be as they should")
        assert connected.partitions("acme-social-events") == 2


# Prometheus and Alertmanager, of Debian's versions


@pytest.fixture
def monitoring() -> None:
    """Hold up the tests that need Prometheus and Alertmanager where they are missing."""
    require()


@pytest.mark.parametrize(
    "check", [["promtool", "check", "config", PROMETHEUS], ["amtool", "check-config", ALERTMANAGER]]
)
def test_config_files_are_valid(monitoring: None, check: list[str | Path]) -> None:
    """The tools that come with Prometheus and Alertmanager find nothing wrong."""
    done = subprocess.run(check, capture_output=True, text=True, timeout=HANG_S, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_prometheus_scrapes_and_knows_where_to_send_alerts(monitoring: None, tmp_path: Path) -> None:
    """With the config files and flags of the compose file, and addresses of this machine, everything is seen to be up.

    The health checks of both, and that of our image, tell what is up from what is not.
    """
    with started("demo", cwd=tmp_path) as demo:
        demo.base = address(demo.line("/metrics"))
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
        assert worker_healthy(demo.base)
        assert demo.lives()
    assert not worker_healthy(demo.base)


def healthy(name: str, port: int) -> bool:
    """Ask a service's own health check, at another port."""
    service = services()[name]
    inside = service["ports"][0].rsplit(":", 1)[1]
    check = [word.replace(f"127.0.0.1:{inside}", f"127.0.0.1:{port}") for word in service["healthcheck"]["test"][1:]]
    return not subprocess.run(check, capture_output=True, timeout=HANG_S, check=False).returncode


def worker_healthy(base: str) -> bool:
    """Ask the image's health check."""
    check = json.loads(dict(stages()[-1])["HEALTHCHECK"].partition("CMD ")[2])
    command = [sys.executable, *(word.replace("8780", base.rsplit(":", 1)[1]) for word in check[1:])]
    done = subprocess.run(command, env=environment(), capture_output=True, timeout=HANG_S, check=False)
    return done.returncode == 0


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
