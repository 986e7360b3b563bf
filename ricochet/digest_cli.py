"""`ricochet digest`: the week, written or sent."""

import re
from collections.abc import Iterable
from pathlib import Path

import click

from connectors.feeds.web import shown
from ricochet import digest as digests
from ricochet import settings
from ricochet.errors import RicochetError
from streams.clock import wall_clock


@click.command()
@click.option(
    "--at",
    "addresses",
    multiple=True,
    metavar="URL",
    help="Where offers are answered for: `ricochet run`, or a worker; repeat it for each worker.",
)
@click.option("--days", type=click.IntRange(1, 366), default=digests.DAYS, show_default=True, help="How far back.")
@click.option("--html", "as_html", is_flag=True, help="As a page, and not as text.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, allow_dash=True),
    default=Path("-"),
    help="Write it here; `-`, the default, is standard output.",
)
@click.option("--send", metavar="URL", help="Send it by the ways of the alerts: the address of Alertmanager.")
def digest(addresses: tuple[str, ...], days: int, as_html: bool, out: Path, send: str | None) -> None:
    """Sum the week up: which offers spread, how far, and what people were told.

    As text or HTML, or sent by Alertmanager to whoever gets its alerts. Have cron call it on Monday mornings.
    """
    chosen = settings.load()
    _without_secrets("--at", addresses, "web_token_file")
    _without_secrets("--send", () if send is None else (send,), "alertmanager_user and alertmanager_password_file")
    auth = chosen.alertmanager_auth
    made = digests.read(addresses or (f"http://{chosen.host}:{chosen.port}",), wall_clock(), days, chosen.token)
    if send is not None:
        digests.send(made, send, auth)
        click.echo(f"sent to {shown(send)}")
        return
    content = digests.html(made) if as_html else digests.text(made)
    with click.open_file(str(out), "w", encoding="utf-8") as file:
        file.write(content)


def _without_secrets(option: str, addresses: Iterable[str], instead: str) -> None:
    """Refuse credentials in an address: whoever lists the processes of this machine sees options."""
    for address in addresses:
        if "@" in re.split("[/?#]", address.partition("://")[2])[0]:
            raise RicochetError(f"{option}: no user or password in an address; they stand in the settings: {instead}")
