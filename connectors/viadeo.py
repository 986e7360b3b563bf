"""Viadeo: the platform is gone, so there is nothing to connect to. What members and pages had exported can be read."""

from collections.abc import Sequence
from typing import Any

from connectors import export_rows
from connectors.connector import Abilities, Declaration, Normal
from connectors.exports import FILES, MAPPING, ExportConnector, Rank, Row


class Viadeo(ExportConnector):
    """Reads exports that somebody kept."""

    declared = Declaration(
        name="viadeo",
        network="viadeo",
        summary="Exports of Viadeo, which is gone, as CSV or JSON lines.",
        abilities=Abilities(
            reshares="none live: the platform is gone; shares that an export holds",
            parents="where a column says through whom",
            followers="follows and counts that an export holds",
            deletes="rows that say so",
            resume="file hash and row",
        ),
        options=(FILES, MAPPING),
    )
    fields = export_rows.FIELDS

    @classmethod
    def normalise(cls, raw: Any) -> Sequence[Normal]:
        """What a row says."""
        return export_rows.normalise(raw)

    @classmethod
    def rank(cls, row: Row) -> Rank:
        """Where it stands in the order."""
        return export_rows.rank(row)
