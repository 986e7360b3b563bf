"""A worker's place on its machine: one worker's alone, the same after each start, with a port of its own."""

from __future__ import annotations

from pathlib import Path

import click
import pytest

from ricochet import places, serving
from ricochet.errors import RicochetError
from ricochet.kafka_cli import worker


def test_the_first_free_place_is_taken(tmp_path: Path) -> None:
    """Each worker has a place of its own; one that is given up is the next one's, under the same name as before."""
    first, second = places.take(tmp_path, None), places.take(tmp_path, None)
    assert (first.name, second.name) == ("1", "2")
    first.lock.close()
    again = places.take(tmp_path, None)
    assert (again.name, again.instance, again.folder) == (first.name, first.instance, first.folder)
    assert again.instance != second.instance
    second.lock.close(), again.lock.close()


def test_a_name_is_a_place_and_taken_once(tmp_path: Path) -> None:
    """A named place is refused while another worker has it; in another data folder the name is another member."""
    named = places.take(tmp_path / "a", "north")
    with pytest.raises(RicochetError, match="place north is taken by another worker"):
        places.take(tmp_path / "a", "north")
    elsewhere = places.take(tmp_path / "b", "north")
    assert elsewhere.instance != named.instance
    named.lock.close(), elsewhere.lock.close()


def test_places_have_ports_one_after_the_other(tmp_path: Path) -> None:
    """The setting is the first place's port, also that of a named one; 0 leaves all to the system."""
    three = [places.take(tmp_path, None) for _ in range(3)]
    named = places.take(tmp_path, "north")
    assert [place.port(8780) for place in (*three, named)] == [8780, 8781, 8782, 8780]
    assert [place.port(0) for place in three] == [0, 0, 0]
    with pytest.raises(RicochetError, match=r"65536 can't be listened on"):
        serving.listen("127.0.0.1", three[1].port(65_535))
    for place in (*three, named):
        place.lock.close()


@pytest.mark.parametrize("name", ["../north", ".", "north/1", "", "n" * 65, "nord ouest"])
def test_a_name_is_one_of_a_folder(name: str) -> None:
    """A name that is a path, or none that Kafka takes, is refused before anything else is done."""
    with pytest.raises(click.BadParameter, match="has other signs"):
        worker.main(["--name", name], standalone_mode=False)
