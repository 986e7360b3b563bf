"""Files of job offers as persons write them: what they say, and every fault with its line."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors import offer_files
from connectors.offer_files import OfferFileError
from spread.registry import JobOffer

EXAMPLES = Path(__file__).parents[1] / "docs"


def ms(year: int, month: int, day: int, hour: int = 0, minute: int = 0) -> int:
    """Give a moment in UTC."""
    return int(datetime(year, month, day, hour, minute, tzinfo=UTC).timestamp() * 1000)


WHOLE = JobOffer(
    id="0042",
    title="Data Engineer",
    company="Acme",
    place="Lyon",
    family="engineering",
    urls=("https://acme.example/1", "https://acme.example/2"),
    tags=("AcmeData", "élan"),
    accounts=("x:100", "bluesky:did:plc:acme"),
    posts=("x:555",),
    posted=ms(2026, 9, 1),
    closes=ms(2026, 10, 1, 10, 30),
)
YAML = """
# what we look for
- id: 0042
  title: >
    Data
    Engineer
  company: Acme
  place: Lyon
  family: engineering
  urls:
    - https://acme.example/1
    - "https://acme.example/2"
  tags: ["#AcmeData", élan]
  accounts: [x:100, bluesky:did:plc:acme]
  posts: x:555
  posted: 2026-09-01
  closes: 2026-10-01T12:30+02:00
- {id: b, title: Yes, closes: 2026-12-31, company: null, place: ~}
"""
CSV = """id;title;company;place;family;urls;tags;accounts;posts;posted;closes
0042;Data  Engineer;Acme;Lyon;engineering;"https://acme.example/1
https://acme.example/2";#AcmeData élan;x:100 bluesky:did:plc:acme;x:555;2026-09-01;2026-10-01T12:30+02:00

b;Yes;;;;;;;;;2026-12-31
"""


def read(folder: Path, name: str, content: str | bytes) -> list[JobOffer]:
    """Read a file of offers."""
    (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return offer_files.read(str(folder / name))


def faults(folder: Path, name: str, content: str | bytes) -> list[str]:
    """Give what is wrong with a file, without the folder."""
    with pytest.raises(OfferFileError) as caught:
        read(folder, name, content)
    return [fault.removeprefix(f"{folder}/") for fault in caught.value.faults]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("o.yaml", YAML),
        ("o.YML", YAML),
        ("o.csv", CSV),
        ("bom.csv", b"\xef\xbb\xbf" + CSV.replace("\n", "\r\n").encode()),
        ("comma.CSV", CSV.replace(";", ",")),
    ],
)
def test_a_file_says_what_an_offer_is(tmp_path: Path, name: str, content: str | bytes) -> None:
    """All fields are read from YAML and CSV alike; ids keep their zeros, a closing day lasts to its end."""
    assert read(tmp_path, name, content) == [WHOLE, JobOffer(id="b", title="Yes", closes=ms(2027, 1, 1) - 1)]


def test_a_file_may_be_empty(tmp_path: Path) -> None:
    """A file without offers has none; whether that can be is for the import to say."""
    assert read(tmp_path, "a.yaml", "# none\n") == read(tmp_path, "a.csv", "id,title\n") == []
    assert read(tmp_path, "b.csv", "") == []


@pytest.mark.parametrize("example", ["offers.example.yaml", "offers.example.csv"])
def test_the_examples_are_good(example: str) -> None:
    """The files of offers in the documentation can be read, and their offers can be found."""
    offers = offer_files.read(str(EXAMPLES / example))
    assert len(offers) == 2
    assert all(offer.urls and offer.title for offer in offers)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("- id: a\n  title: x\n  url: y\n", ["3: unknown field 'url'; did you mean urls?"]),
        ("- title: x\n- id: b\n  title: y\n", ["1: an offer needs an id"]),
        ("- id: a\n  title: x\n\n- id: a\n  title: y\n", ["4: offer a stands in line 1 already"]),
        ("- id: a\n  id: b\n  title: x\n", ["2: id stands twice"]),
        ("- id: a\n", ["1: nothing leads to it: give it urls, a title, posts, or tags with accounts"]),
        ("- id: a\n  urls:\n  - https://a.example\n  - a.example\n", ["4: 'a.example' is no link;"]),
        ("- id: a\n  title: [x, y]\n", ["2: title is one value and no list"]),
        ("- id: a\n  title: x\n  urls: [{a: b}]\n", ["3: urls has values within values"]),
        (
            "- id: a\n  title: x\n  accounts: ['@acme']\n",
            ["3: '@acme' in accounts has no network before it, as in x:acme"],
        ),
        ("- id: a\n  title: x\n  closes: 1.2.2026\n", ["3: closes '1.2.2026' is no date such as 2026-09-01"]),
        ("- id: a\n  title: x\n  closes: 2026-09-01T10:00\n", ["3: closes '2026-09-01T10:00' needs an offset"]),
        ("- id: a\n  title: x\n  posted: 2026-02-01\n  closes: 2026-01-01\n", ["4: it closes before it is posted"]),
        ("- id: a\n  title: x\n  tags: [two words]\n", ["3: 'two words' is no hashtag"]),
        (f"- id: {'a' * 513}\n  title: x\n", ["1: id has over 512 bytes"]),
        ("offers:\n  - id: a\n", ["1: a list of offers is expected"]),
        ("- a\n- [b]\n", ["1: an offer is a mapping", "2: an offer is a mapping"]),
        ("- id: a\n  title: 'x\n", ["3: not YAML"]),
        ("- id: *a\n", ["1: not YAML"]),
        ("- id: !!python/name:os.system a\n  title: x\n  url: z\n", ["3: unknown field"]),
        ("[" * 100_000, ["not YAML"]),
        (
            "- id: a\n  titel: x\n- id: b\n  urls: x\n  posts: y\n",
            ["2: unknown field 'titel'; did you mean title?", "4: 'x' is no link", "5: 'y' in posts"],
        ),
    ],
)
def test_every_fault_of_a_yaml_file_has_its_line(tmp_path: Path, content: str, expected: list[str]) -> None:
    """All that is wrong is told at once, with the line where it stands and what would be right."""
    told = faults(tmp_path, "o.yaml", content)
    assert len(told) == len(expected), told
    for fault, part in zip(told, expected, strict=True):
        assert fault.startswith("o.yaml:")
        assert part in fault
        assert "\n" not in fault


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("id,titel\na,x\n", ["2: unknown field 'titel'; did you mean title?"]),
        ("id,title\na,x\n,y\n", ["3: an offer needs an id"]),
        ('id,title,urls\na,"two\nlines",\nb,x,y\n', ["4: 'y' is no link"]),
        ("id,title\na,x,y\n", ["2: 3 cells under 2 columns"]),
        ("id,title,title\na,x,y\n", ["1: column title stands twice"]),
        ('id,title\na,"x\n', ["2: not CSV"]),
    ],
)
def test_every_fault_of_a_csv_file_has_its_line(tmp_path: Path, content: str, expected: list[str]) -> None:
    """A row is named by the line where it begins, also behind rows of several lines."""
    told = faults(tmp_path, "o.csv", content)
    assert len(told) == len(expected), told
    for fault, part in zip(told, expected, strict=True):
        assert fault.startswith("o.csv:" + part.partition(":")[0]), fault
        assert part in fault


def test_what_can_not_be_read_is_told(tmp_path: Path) -> None:
    """A missing file, a folder, and one that is no UTF-8 are faults in a line."""
    for name in ("none.yaml", "."):
        with pytest.raises(OfferFileError, match=r"No such file|Is a directory"):
            offer_files.read(str(tmp_path / name))
    assert faults(tmp_path, "l.csv", "id,title\na,Élan\n".encode("latin-1")) == [
        "l.csv: line 2 is not UTF-8; save the file as UTF-8"
    ]


@given(st.binary(max_size=200) | st.text().map(str.encode), st.sampled_from(["o.yaml", "o.csv"]))
def test_nothing_but_faults_comes_of_a_bad_file(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, name: str
) -> None:
    """Whatever a file holds, it is read or refused with its faults."""
    path = tmp_path_factory.getbasetemp() / name
    path.write_bytes(content)
    try:
        offers = offer_files.read(str(path))
    except OfferFileError as error:
        assert error.faults
    else:
        assert all(offer.id for offer in offers)
