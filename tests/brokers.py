"""Kafka as the compose file sets it up, without Docker: one broker or three, each a process, on free ports."""

from __future__ import annotations

import re
import socket
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from streams.cluster import Cluster, ClusterError
from tests import broker
from tests.installation import services
from tests.processes import Child, environment, until


@contextmanager
def cluster(variables: Mapping[str, str], folder: Path) -> Iterator[tuple[str, dict[str, Child]]]:
    """Start the brokers that the file has with these variables: what a client connects to, and each by its name.

    What a broker keeps lies in a folder of its name.
    """
    found = services(variables)
    active = variables.get("COMPOSE_PROFILES")
    names = [name for name in found if name.startswith("kafka") and found[name].get("profiles", [active]) == [active]]
    environments, servers = _on_loopback({name: found[name]["environment"] for name in names}, folder)
    with ExitStack() as stack:
        nodes = {name: stack.enter_context(_kafka(folder / name, environments[name])) for name in names}
        until(lambda: _brokers(servers) == len(names), f"{len(names)} brokers", every_s=0.2, hang_s=120)
        yield servers, nodes


def _on_loopback(found: dict[str, dict[str, Any]], folder: Path) -> tuple[dict[str, dict[str, str]], str]:
    """Give the nodes' environments with addresses and folders of this machine, and what a client connects to."""
    ports = broker.free_ports(3 * len(found))
    inside: dict[str, str] = {}
    for name in found:
        for port in ("9092", "9093"):
            inside[f"{name}:{port}"] = f"127.0.0.1:{ports.pop()}"
    result = {}
    host = []
    for name, variables in found.items():
        outside = f"127.0.0.1:{ports.pop()}"
        host.append(outside)
        result[name] = {variable: str(value) for variable, value in variables.items()}
        own = result[name]
        own["KAFKA_ADVERTISED_LISTENERS"] = re.sub(
            r"HOST://\S+", f"HOST://{outside}", own["KAFKA_ADVERTISED_LISTENERS"]
        )
        own["KAFKA_LISTENERS"] = (
            own["KAFKA_LISTENERS"]
            .replace("PLAINTEXT://:9092", f"PLAINTEXT://{name}:9092")
            .replace("CONTROLLER://:9093", f"CONTROLLER://{name}:9093")
            .replace("HOST://:19092", f"HOST://{outside}")
        )
        for old, new in inside.items():
            for variable in own:
                own[variable] = re.sub(rf"\b{re.escape(old)}\b", new, own[variable])
        own["KAFKA_LOG_DIRS"] = str(folder / name / "data")
    return result, ",".join(host)


@contextmanager
def _kafka(folder: Path, variables: dict[str, str]) -> Iterator[Child]:
    """Make the settings as the image does, format the folder and start a broker; killed at the end."""
    config = folder / "config"
    config.mkdir(parents=True)
    (config / "server.properties").touch()
    java = ["java", "-Xms128m", "-Xmx512m", "-XX:+UseSerialGC", "-cp", f"{broker.jars()}/*"]
    plain = {name: value for name, value in environment().items() if not name.startswith("KAFKA_")}
    folders = [f"--{kind}-configs-dir={config}" for kind in ("default", "mounted", "final")]
    setup = [*java, "kafka.docker.KafkaDockerWrapper", "setup", *folders]
    done = subprocess.run(setup, env=plain | variables, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    with Child([*java, "kafka.Kafka", str(config / "server.properties")], folder, plain) as child:
        yield child


def _brokers(servers: str) -> int:
    """Count the brokers that the cluster has; none while one of its servers does not listen."""
    for server in servers.split(","):
        host, port = server.split(":")
        with socket.socket() as probe:
            if probe.connect_ex((host, int(port))):
                return 0
    try:
        with Cluster(servers) as cluster:
            return cluster.brokers()
    except ClusterError:
        return 0
