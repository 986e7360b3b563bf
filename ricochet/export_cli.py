"""`ricochet export`."""

from contextlib import closing
from pathlib import Path

import click

from ricochet import export as export_
from ricochet.answers import Workers
from ricochet.errors import RicochetError
from ricochet.installation import require_topics
from ricochet.offers_cli import chosen, kept
from ricochet.settings import Settings
from streams.embedded import Embedded

Lines = tuple[list[bytes], list[bytes]]


@click.command()
@click.argument("offer")
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Where to; its name says the format: .gexf, .graphml, .csv or .parquet.",
)
@kept
def export(offer: str, out: Path, to: str | None, state: Path | None) -> None:
    """Write who passed OFFER on to whom, as a graph: nodes, and edges with their basis.

    From a state file that no process is using, or by asking the workers. A table (.csv, .parquet) has its edges in FILE
    and its nodes in another one beside it. No account is in it, and nothing of what was deleted or forgotten.
    """
    loaded = chosen(to, state)
    if out.suffix.lower() not in export_.FORMATS:
        raise RicochetError(f"{out}: its name ends with none of {', '.join(export_.FORMATS)}")
    nodes, edges = export_.rows(*(_of_workers(loaded, offer) if loaded.engine == "kafka" else _of_state(loaded, offer)))
    if not nodes:
        raise RicochetError(f"nothing is known of who shared offer {offer}")
    for path in export_.write(out, nodes, edges):
        click.echo(f"{path}: {len(nodes):,} nodes, {len(edges):,} edges")


def _of_state(settings: Settings, offer: str) -> Lines:
    if not settings.state.exists():
        raise RicochetError(f"{settings.state}: no such state file")
    with Embedded(settings.state, keeping=settings.keeping_all) as engine:
        return engine.offer(offer).node_lines(), engine.edge_lines(offer)


def _of_workers(settings: Settings, offer: str) -> Lines:
    require_topics(settings)
    with closing(Workers(settings.kafka, settings.layout, settings.kafka_options.client(), settings.token)) as workers:
        return workers.node_lines(offer), workers.edge_lines(offer)
