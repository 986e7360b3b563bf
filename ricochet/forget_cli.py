"""`ricochet forget`."""

from pathlib import Path

import click

from ricochet import forgetting
from ricochet.ambassadors import Ambassadors
from ricochet.errors import RicochetError
from ricochet.offers_cli import chosen, kept
from streams.clock import wall_clock


@click.command()
@click.argument("account")
@kept
def forget(account: str, to: str | None, state: Path | None) -> None:
    """Erase ACCOUNT (network:id, in clear or hashed): every place, every aggregate, and the connectors' files.

    What it did is gone and what it will do is not kept either. It may be said while connectors and workers run, and
    again as often as one likes.
    """
    event = forgetting.erasure(account, wall_clock())
    loaded = chosen(to, state)
    if loaded.engine == "embedded" and not loaded.state.exists():
        raise RicochetError(f"{loaded.state}: no such state file")
    ambassadors = Ambassadors.of(loaded)
    erased = forgetting.forget(loaded, event)
    if loaded.engine == "kafka":
        where = "its erasure is safe in Kafka, and the workers take it in"
    elif erased.is_taken_in:
        where = f"erased from {loaded.state}"
    else:
        where = f"going to be erased from {loaded.state}, once what runs has taken it in"
    files = ", ".join(f"{n} from {name}" for name, n in erased.entries.items())
    click.echo(f"{account}: {where}; entries of the connectors erased: {files or 'none, there are no files'}")
    if ambassadors.lists(account):
        click.echo(f"note: {account} has a line in {loaded.ambassadors}: take it out", err=True)
    if erased.faults:
        raise RicochetError(f"{account} is not erased everywhere, say it again: {'; '.join(erased.faults)}")
