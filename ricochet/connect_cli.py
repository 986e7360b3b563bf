"""`ricochet connect`."""

import sys
from dataclasses import fields
from typing import Final

import click
from rich.console import Console
from rich.table import Table

from connectors import catalogue
from connectors.connector import Abilities
from ricochet import connect as connect_
from ricochet import connecting, logs, serving, settings
from ricochet.errors import RicochetError

QUESTIONS: Final = {
    "reshares": "reshare events",
    "parents": "real parents",
    "followers": "follower lists",
    "deletes": "deletes",
    "resume": "resume",
}
assert list(QUESTIONS) == [field.name for field in fields(Abilities)]


@click.command()
@click.argument("names", nargs=-1, metavar="NAME...")
@click.option("--list", "list_", is_flag=True, help="Show the connectors there are, and what each can see.")
@click.option("--check", is_flag=True, help="Ask the networks what these credentials will see, and end.")
@click.option("--host", help="Address of the web server, with metrics and health.")
@click.option("--port", type=click.IntRange(0, 65535), help="Port of the web server; 0 takes a free one.")
def connect(names: tuple[str, ...], list_: bool, check: bool, host: str | None, port: int | None) -> int:
    """Run connectors that bring what networks say into Kafka.

    Killed at any moment, they go on from where their events were last safe: nothing is lost or counted twice. Options
    of a connector stand in the settings, under `connectors` (`RICOCHET_CONNECTORS__BLUESKY__SOURCE=firehose`).
    """
    if list_:
        Console().print(_listed())
        return 0
    if not names:
        raise click.UsageError(f"name a connector: {', '.join(catalogue.CATALOGUE)}")
    for name in names:
        if name not in catalogue.CATALOGUE:
            raise RicochetError(f"no connector {name}: there are {', '.join(catalogue.CATALOGUE)}")
    chosen = settings.load(host=host, port=port)
    if check:
        is_well = True
        for line, is_good in connecting.check(chosen, names):
            click.echo(line)
            is_well &= is_good
        return 0 if is_well else 1
    logs.configure(chosen.log_format, chosen.log_level)
    connect_.connect(chosen, names, serving.listen(chosen.host, chosen.port))
    return 0


def _listed() -> Table:
    table = Table()
    for column in ("connector", "network", *QUESTIONS.values()):
        table.add_column(column, overflow="fold")
    for kind in catalogue.connectors():
        abilities = kind.declared.abilities
        answers = [getattr(abilities, name) or "no" for name in QUESTIONS]
        table.add_row(kind.declared.name, kind.declared.network, *answers)
    return table


def markdown() -> str:
    """The table of abilities as the README has it."""
    rows = [["connector", *QUESTIONS.values()], ["---"] * (1 + len(QUESTIONS))]
    for kind in catalogue.connectors():
        abilities = kind.declared.abilities
        rows.append([f"`{kind.declared.name}`", *(getattr(abilities, name) or "no" for name in QUESTIONS)])
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


if __name__ == "__main__":
    sys.stdout.write(markdown())
