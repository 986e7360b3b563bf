"""`ricochet rejected`: what was no event, why, and the way back in for what was mended."""

from collections import Counter
from pathlib import Path

import click

from ricochet import kafka_cli, publisher, settings
from ricochet import rejected as rejected_
from ricochet.errors import RicochetError
from ricochet.settings import Settings
from spread.events import Rejected

_PATH = click.Path(path_type=Path)


@click.group()
def rejected() -> None:
    """Look at dead letters, take what they are about out for mending, and send it again."""


@rejected.command("list")
@click.option("--reason", help="Only those with this reason.")
def list_(reason: str | None) -> None:
    """Say of each dead letter where it stood, why it is no event, and how many there are for each reason.

    Names no person. An older worker's mistake shows here too: what is mended is not struck off, it goes with Kafka's
    retention.
    """
    found = _letters(settings.load(), reason)
    for letter in found:
        click.echo(str(letter))
    counts = Counter(letter.reason for letter in found)
    told = ", ".join(f"{n:,} {why}" for why, n in counts.most_common())
    click.echo(f"{len(found):,} rejected{': ' if told else ''}{told}", err=True)


@rejected.command()
@click.argument("file", type=_PATH)
@click.option("--reason", help="Only those with this reason.")
def fetch(file: Path, reason: str | None) -> None:
    """Write to FILE what the dead letters are about, a line each, as it came: to be mended, and sent.

    Kafka must still have it (setting event_retention_days). FILE may hold personal data.
    """
    chosen = settings.load()
    told = _letters(chosen, reason)
    gone = 0
    lines = []
    for _, raw in rejected_.inputs(chosen, told):
        if raw is None:
            gone += 1
        else:
            lines.append(raw.replace(b"\r", b" ").replace(b"\n", b" ") + b"\n")
    try:
        with open(file, "wb") as out:
            out.writelines(lines)
    except OSError as error:
        raise RicochetError(f"{file}: {error.strerror or error}") from None
    click.echo(f"{len(lines):,} written to {file}" + (f", {gone:,} are gone from Kafka" if gone else ""))


@rejected.command()
@click.argument("file", type=_PATH)
def send(file: Path) -> int:
    """Send the events of FILE, mended, to the workers; what is still no event is named and not sent.

    Sent twice does no harm. Exit code 1 if anything was not sent.
    """
    bad: list[str] = []

    def still_bad(name: str, line: int, one: Rejected) -> None:
        bad.append(f"{name}:{line}: {one.reason}: {one.detail}")

    kafka_cli.quiet()
    census = publisher.publish([str(file)], settings.load(), on_rejected=still_bad).census
    for line in bad:
        click.echo(line, err=True)
    click.echo(f"{census.events - census.rejected:,} sent, {census.rejected:,} still rejected")
    return 1 if bad else 0


def _letters(chosen: Settings, reason: str | None) -> list[rejected_.Letter]:
    kafka_cli.quiet()
    found = rejected_.letters(chosen)
    return [letter for letter in found if reason in (None, letter.reason)]
