"""A real Kafka, in KRaft mode, for the tests and the measurements that need one.

Its jars come through Maven once into a cache folder that outlives the runs; what a broker keeps lies in a temporary
folder and goes with it. It listens on loopback, on ports that were free, and makes no topic that nobody asked for.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Final

import trustme
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key
from kafka import KafkaAdminClient
from kafka.errors import KafkaError

from tests.processes import until

VERSION: Final = "4.1.1"
_SCALA: Final = "2.13"
_START_S: Final = 120.0
_POM: Final = f"""\
<project>
  <modelVersion>4.0.0</modelVersion>
  <groupId>ricochet</groupId>
  <artifactId>tests-broker</artifactId>
  <version>1</version>
  <packaging>pom</packaging>
  <dependencies>
    <dependency>
      <groupId>org.apache.kafka</groupId>
      <artifactId>kafka_{_SCALA}</artifactId>
      <version>{VERSION}</version>
    </dependency>
  </dependencies>
</project>
"""
_PLAIN: Final = """\
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
"""
_SECURED: Final = """\
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller},\\
  SASL://127.0.0.1:{sasl},MUTUAL://127.0.0.1:{mutual}
advertised.listeners=PLAINTEXT://127.0.0.1:{port},SASL://127.0.0.1:{sasl},MUTUAL://127.0.0.1:{mutual}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL:SASL_SSL,MUTUAL:SSL
ssl.keystore.type=PEM
ssl.keystore.location={folder}/server.pem
ssl.truststore.type=PEM
ssl.truststore.location={folder}/ca.pem
listener.name.mutual.ssl.client.auth=required
sasl.enabled.mechanisms=SCRAM-SHA-512,SCRAM-SHA-256,PLAIN
listener.name.sasl.scram-sha-256.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.sasl.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.sasl.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required \\
  user_{user}="{password}";
"""
_PROPERTIES: Final = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
controller.listener.names=CONTROLLER
log.dirs={folder}/log
auto.create.topics.enable=false
offsets.topic.num.partitions=4
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=2
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
log.index.size.max.bytes=1048576
log.cleaner.dedupe.buffer.size=16777216
log.cleaner.backoff.ms=500
log.retention.check.interval.ms=1000
log.segment.delete.delay.ms=1000
"""


def missing() -> str | None:
    """Say in one line what is missing for a broker, and how to get it."""
    absent = [name for name in ("java", "mvn") if shutil.which(name) is None]
    if not absent:
        return None
    how = "install Java 17 or newer and Maven (apt-get install openjdk-17-jre-headless maven)"
    return f"{' and '.join(absent)} missing: {how}, or name a running broker in KAFKA_BOOTSTRAP"


def jars() -> Path:
    """Give the folder of Kafka's jars, fetched if they are not there yet."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ricochet-tests"
    folder = cache / f"kafka_{_SCALA}-{VERSION}"
    if not folder.is_dir():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as fresh:
            (Path(fresh) / "pom.xml").write_text(_POM)
            fetch = ["mvn", "-q", "-B", "dependency:copy-dependencies", "-DincludeScope=runtime"]
            done = subprocess.run(
                [*fetch, "-DoutputDirectory=jars"], cwd=fresh, capture_output=True, text=True, timeout=900, check=False
            )
            if done.returncode:
                raise RuntimeError(
                    f"Maven could not fetch Kafka {VERSION}:\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
                )
            try:
                (Path(fresh) / "jars").rename(folder)
            except OSError:
                assert folder.is_dir()  # another run was faster
    return folder


class Secured:
    """What makes a broker a secured one: certificates of an authority of its own, and a user with a password.

    `sasl` and `mutual` are the addresses of its listeners, for those with a password and those with a certificate.
    """

    user: Final = "ricochet"
    password: Final = "tres-secret-7c1d"

    def __init__(self) -> None:
        self.authority = trustme.CA()
        self.sasl = self.mutual = ""

    def write(self, folder: Path) -> None:
        """Write the broker's certificate, which is for 127.0.0.1 alone, and the authority's."""
        issued = self.authority.issue_cert("127.0.0.1")
        key = load_pem_private_key(issued.private_key_pem.bytes(), None)
        pkcs8 = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())  # Java reads no other
        (folder / "server.pem").write_bytes(pkcs8 + b"".join(part.bytes() for part in issued.cert_chain_pems))
        self.authority.cert_pem.write_to_path(str(folder / "ca.pem"))


class Broker:
    """One broker that is its own controller, in its own folder. Killed at the end of its block."""

    def __init__(self, secured: Secured | None = None) -> None:
        if (lacking := missing()) is not None:
            raise RuntimeError(lacking)
        self._folder = Path(tempfile.mkdtemp(prefix="ricochet-kafka-"))
        self._port, controller, sasl, mutual = free_ports(4)
        self._java = ["java", "-Xms128m", "-Xmx512m", "-XX:+UseSerialGC", "-cp", f"{jars()}/*"]
        self._properties = self._folder / "server.properties"
        ports = {"port": self._port, "controller": controller, "sasl": sasl, "mutual": mutual}
        listeners, scram = _PLAIN, list[str]()
        if secured is not None:
            secured.write(self._folder)
            listeners = _SECURED
            user = f"[name={secured.user},password={secured.password}]"
            scram = [word for bits in (256, 512) for word in ("--add-scram", f"SCRAM-SHA-{bits}={user}")]
            secured.sasl, secured.mutual = f"127.0.0.1:{sasl}", f"127.0.0.1:{mutual}"
        self._properties.write_text(
            (listeners + _PROPERTIES).format(
                **ports,
                folder=self._folder.as_posix(),
                user=secured and secured.user,
                password=secured and secured.password,
            )
        )
        format_ = ["format", "-t", "cmljb2NoZXQtdGVzdHMwMA", "-c", str(self._properties)]
        self._run("kafka.tools.StorageTool", *format_, *scram)
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Broker:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end(signal.SIGKILL)
        shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def bootstrap(self) -> str:
        """The address that clients connect to; the same after every start."""
        return f"127.0.0.1:{self._port}"

    @property
    def kept(self) -> Path:
        """The folder of what the broker keeps, which may be copied and put back while it is stopped."""
        return self._folder / "log"

    @property
    def said(self) -> str:
        """What the broker has logged."""
        return (self._folder / "said").read_text(errors="replace")

    def start(self) -> None:
        """Start it, with what it kept, and wait until it answers."""
        with open(self._folder / "said", "ab") as said:
            self._process = subprocess.Popen(
                [*self._java, "kafka.Kafka", str(self._properties)],
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
            )
        try:
            until(self._answers, "Kafka to start", every_s=0.1, hang_s=_START_S)
        except BaseException:
            self._end(signal.SIGKILL)
            raise

    def stop(self) -> None:
        """Stop it in good order; it can be started again."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """Kill it, as a power cut of its process would; it can be started again."""
        self._end(signal.SIGKILL)

    def pause(self) -> None:
        """Let it hang: connections stay open and nothing is answered."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on after a pause."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self.said[-4000:]
        with socket.socket() as probe:
            probe.settimeout(5)
            if probe.connect_ex(("127.0.0.1", self._port)):
                return False
        try:
            with admin(self.bootstrap) as client:
                return len(client.describe_cluster()["brokers"]) == 1
        except KafkaError:
            return False

    def _end(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(how)
        process.send_signal(signal.SIGCONT)  # it may be paused
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _run(self, *command: str) -> None:
        done = subprocess.run(
            [*self._java, *command], cwd=self._folder, capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]


@contextmanager
def kafka() -> Iterator[str]:
    """Give the address of a broker: the one that KAFKA_BOOTSTRAP names, else one that lives as long as the block."""
    given = os.environ.get("KAFKA_BOOTSTRAP")
    if given:
        yield given
        return
    with Broker() as broker:
        yield broker.bootstrap


def admin(bootstrap: str) -> KafkaAdminClient:
    """Connect an admin client."""
    return KafkaAdminClient(bootstrap_servers=bootstrap, bootstrap_timeout_ms=10_000)


def free_ports(n: int) -> list[int]:
    """Find ports that nobody listens on; held together, so that they differ."""
    held = [socket.socket() for _ in range(n)]
    for one in held:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in held]
    for one in held:
        one.close()
    return ports
