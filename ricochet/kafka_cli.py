"""The commands about Kafka itself."""

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager

import click

from ricochet import logs, settings
from ricochet.doctor import examine
from ricochet.settings import Settings
from streams.cluster import Cluster
from streams.topics import topics as topics_of


class _Name(click.ParamType):
    """A name that a folder and a member of a group can have."""

    name = "name"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}", value):
            self.fail(f"{value!r} has other signs than letters, digits, - and _, or too many", param, ctx)
        return value


@click.command()
@click.option("--name", type=_Name(), metavar="NAME", help="Name of its place; by default the first free one is taken.")
@click.option("--host", help="Address of the web server.")
@click.option("--port", type=click.IntRange(0, 65535), help="Port of the web server; by default the place says it.")
def worker(name: str | None, host: str | None, port: int | None) -> int:
    """Run one worker on Kafka; start more to share the work.

    Its place (a name, a folder for its tables, a port) is kept over restarts, so that it takes its partitions back
    at once. SIGTERM ends it cleanly; killed at any moment, nothing is lost or counted twice. A worker whose place was
    taken by another ends with code 75, to be started again.
    """
    from ricochet import worker as worker_  # noqa: PLC0415  # Faust alone takes longer to import than all the rest

    chosen = settings.load(host=host)
    logs.configure(chosen.log_format, chosen.log_level)
    quiet()  # it is asked at the start alone: Faust has a client of its own
    return worker_.work(chosen, name, port)


@click.group()
def topics() -> None:
    """Make the topics on Kafka, or check them.

    Their prefix, partitions, replication and retention are settings (see `ricochet settings`).
    """


@topics.command()
def create() -> None:
    """Make the topics that are missing; set retention and compaction of the others as the settings say.

    The number of partitions of a topic that exists is never changed: that takes a new prefix.
    """
    with _connected() as (chosen, cluster):
        wanted = topics_of(chosen.layout)
        for line in cluster.create(wanted) or [f"all {len(wanted)} topics are there"]:
            click.echo(line)


@topics.command()
def check() -> int:
    """Say what is wrong with the topics, a line each; exit code 1 if anything is.

    A worker does not start on such topics.
    """
    with _connected() as (chosen, cluster):
        wanted = topics_of(chosen.layout)
        faults, differences = cluster.check(wanted), cluster.differences(wanted)
    for line in faults + differences:
        click.echo(line)
    if not faults:
        click.echo(f"all {len(wanted)} topics can be worked with")
    return 1 if faults else 0


@click.command()
def doctor() -> int:
    """Find what is wrong: data folder, broker, topics, tables, how far the workers are behind, clock.

    A line each: ok, FAIL, or -- where there is nothing to judge. Exit code 1 if anything fails.
    """
    quiet()
    is_well = True
    for finding in examine(settings.load()):
        click.echo(str(finding))
        is_well &= finding.is_well is not False
    return 0 if is_well else 1


@contextmanager
def _connected() -> Iterator[tuple[Settings, Cluster]]:
    """The settings, and a connection to their cluster."""
    chosen = settings.load()
    quiet()
    with Cluster(chosen.kafka, chosen.kafka_options.client()) as cluster:
        yield chosen, cluster


def quiet() -> None:
    """Keep Kafka's client from logging: what goes wrong in a command is said once, in a line."""
    logging.getLogger("kafka").setLevel(logging.CRITICAL)
