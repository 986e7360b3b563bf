"""Exports: how files are read, what rows say, what is refused and where, and `ricochet import` as a process."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors import columns, export_rows
from connectors.columns import Columns, ColumnsError
from connectors.completion import Completion
from connectors.connector import Normal
from connectors.exports import ROWS, Export, Row
from connectors.journal import Journal
from connectors.runner import Runner
from connectors.sightings import Authored, Followed, Removed, Shared, Stated
from connectors.table_files import TableError, TableFile
from spread.events import DAY_MS, Profile, Rejected
from tests.connecting import Notes, Shelf, made
from tests.crew import Crew
from tests.processes import ended, good, started, until
from tests.rehearsals import OFFER, URL, match

KEY = {"RICOCHET_HASH_KEY": "0123456789abcdef"}
CELL = st.text(st.sampled_from("ab ;,\t\"\n\r'é|"), max_size=6)


def table(path: Path, text: str | bytes) -> TableFile:
    """Write a file and open it."""
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return TableFile(path)


def rows(file: TableFile) -> list[tuple[int, dict[str, str] | str]]:
    """Read all records: each with its row, and what stands there or what is wrong."""
    found: list[tuple[int, dict[str, str] | str]] = []
    for place in [*file.places()]:
        try:
            found.append((place.row, dict(file.cells(place, file.columns or ("a", "b", "c.d")))))
        except ValueError as error:
            found.append((place.row, str(error)))
    file.close()
    return found


@given(st.lists(st.tuples(CELL, CELL, CELL), max_size=8), st.sampled_from(",;\t"), st.sampled_from(["\n", "\r\n"]))
def test_a_csv_file_is_read_as_it_was_written(
    tmp_path_factory: pytest.TempPathFactory, wanted: list[tuple[str, str, str]], separator: str, end: str
) -> None:
    """Whatever stands in cells, separators, quotes and line breaks too, comes back without the space around it."""
    text = io.StringIO()
    writer = csv.writer(text, delimiter=separator, lineterminator=end, quoting=csv.QUOTE_ALL)
    writer.writerows([("a", "b", "c"), *wanted])
    path = tmp_path_factory.mktemp("csv") / "t.csv"
    found = rows(table(path, text.getvalue()))
    stripped = [{name: cell.strip() for name, cell in zip("abc", row, strict=True)} for row in wanted]
    assert [cells for _, cells in found] == [{k: v for k, v in row.items() if v} for row in stripped]
    assert [row for row, _ in found] == [*range(2, 2 + len(wanted))]


def test_rows_are_counted_as_a_spreadsheet_does(tmp_path: Path) -> None:
    """A cell with line breaks is in one row, an empty line is a row, and the columns' names are the first."""
    file = table(tmp_path / "t.csv", '\ufeffa;b\n1;"two\nlines"\n\n3;4\n')
    assert rows(file) == [(2, {"a": "1", "b": "two\nlines"}), (4, {"a": "3", "b": "4"})]


def test_what_is_no_record_is_one_row(tmp_path: Path) -> None:
    """A quote without an end, too few cells, and bytes that are not UTF-8 each cost their row, and no other."""
    text = b'a,b\n1,"open\n2,two\n3\n4,\xff\n5,five,\n6,"x"y\n7,seven\n'
    found = rows(table(tmp_path / "t.csv", text))
    assert [row for row, cells in found if isinstance(cells, str)] == [2, 4, 5, 6, 7]
    assert [(row, cells) for row, cells in found if not isinstance(cells, str)] == [
        (3, {"a": "2", "b": "two"}),
        (8, {"a": "7", "b": "seven"}),
    ]
    assert dict(found)[4] == "1 cells under 2 columns; a cell with , in it stands between quotes"


def test_json_lines_may_have_objects_within(tmp_path: Path) -> None:
    """A column is a name or a path of names; numbers and lists are texts, and what is neither is refused."""
    lines = ['{"a":7,"c":{"d":["x","y"]},"secret":1}', "[]", "{", "", '{"a":{"b":1}}', '{"a":true}', '{"b":null}']
    found = rows(table(tmp_path / "t.jsonl", "\n".join(lines)))
    assert found == [
        (1, {"a": "7", "c.d": "x y"}),
        (2, "no JSON object"),
        (3, "not JSON"),
        (5, "a: neither a text nor a number"),
        (6, "a: neither a text nor a number"),
        (7, {}),
    ]


@pytest.mark.parametrize(
    ("name", "content", "part"),
    [
        ("t.xls", b"", "neither CSV"),
        ("t.csv", b"", "no line with the names"),
        ("t.csv", "a,b\n".encode("utf-16"), "is UTF-16"),
        ("t.csv", b"a,\xff\n", "no names of columns in UTF-8"),
        ("t.csv", b"a,b,a\n", "'a' stands twice"),
    ],
)
def test_what_is_no_table_is_refused(tmp_path: Path, name: str, content: bytes, part: str) -> None:
    """Files of another kind, without columns or in another encoding are refused with their name."""
    with pytest.raises(TableError, match=part) as raised:
        table(tmp_path / name, content)
    assert name in str(raised.value)


def row(**fields: str) -> Row:
    """Give a row of Viadeo's."""
    return Row("viadeo", "v.csv", 7, fields, Columns(of={"at": "Date"}, kinds={"partage": "share"}))


def said(**fields: str) -> Normal:
    """Give what a row says, by default of a moment."""
    (normal,) = export_rows.normalise(row(**({"at": "2014-09-01T10:00:00Z"} | fields)))
    return normal


AT = 1_409_565_600_000


def test_every_kind_of_row() -> None:
    """What each kind says, with its network before the ids that have none."""
    assert said(id="1", actor="@a", text="t", urls="u v", tags="#x y", followers="7", offer="o") == Authored(
        id="viadeo:1", actor="viadeo:a", at=AT, text="t", urls=("u", "v"), tags=("x", "y"), followers=7, named="o"
    )
    share = Shared(id="viadeo:2", actor="viadeo:a", at=AT, of="viadeo:1", via="viadeo:9")
    assert said(kind="Partage", id="2", actor="viadeo:a", of="1", via="9") == share
    assert said(id="2", actor="a", of="viadeo:1", via="9") == share
    quote, reply = said(kind="quote", id="3", actor="a", of="1"), said(kind="REPLY", id="4", actor="a", of="1")
    assert isinstance(quote, Authored)
    assert isinstance(reply, Authored)
    assert (quote.quotes, reply.replies_to) == ("viadeo:1", "viadeo:1")
    assert said(kind="delete", of="2", actor="a") == Removed(target="viadeo:2", at=AT, actor="viadeo:a")
    follow = Followed(id="viadeo:5", actor="viadeo:a", at=AT, whom="viadeo:b")
    assert said(kind="follow", id="5", actor="a", whom="b") == follow
    profile = Profile(v=1, id="viadeo:6", network="viadeo", at=AT, actor="viadeo:a", followers=0)
    assert said(kind="profile", id="6", actor="a", followers="0") == profile
    assert said(kind="counts", id="7", of="1", likes="3") == Stated(id="viadeo:7", at=AT, target="viadeo:1", likes=3)


def test_a_row_without_id_is_known_by_what_it_says() -> None:
    """The same act has the same id, whatever is put right about its offer; another moment makes another act."""
    first = said(actor="a", of="1")
    assert isinstance(first, Shared)
    again, later = said(actor="a", of="1", offer="o", followers="9"), said(actor="a", of="1", at="2014-09-02T10:00Z")
    assert isinstance(again, Shared)
    assert isinstance(later, Shared)
    assert first.id == again.id != later.id
    assert first.id.startswith("viadeo:row-")


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"actor": "a", "at": ""}, "Date: is empty"),
        ({"actor": "a", "at": "yesterday-secret"}, "Date: no time such as 2026-09-01T12:00:00+02:00"),
        ({"actor": "a", "at": "9999999999999999"}, "Date: no time such as 2026-09-01T12:00:00+02:00"),
        ({}, "actor: is empty"),
        ({"kind": "secret", "actor": "a"}, "kind: none of post, share"),
        ({"kind": "share", "actor": "a"}, "of: is empty"),
        ({"actor": "s" * 600}, "actor: over 512 bytes"),
        ({"actor": "a\x00"}, "actor: has signs in it that can't be seen"),
        ({"actor": "a", "followers": "many"}, "followers: no whole number"),
        ({"actor": "a", "followers": "9" * 5000}, "followers: no whole number"),
        ({"actor": "a", "text": "x" * 70_000}, "text: over 65,536 bytes"),
        ({"kind": "counts", "of": "1"}, "shares: is empty, and so are all other totals"),
        ({"kind": "profile", "actor": "a"}, "followers: is empty"),
    ],
)
def test_a_bad_row_is_told_with_its_place(fields: dict[str, str], told: str) -> None:
    """File, row, column and reason, and nothing of what stands there."""
    found = said(**{name: text for name, text in fields.items() if name == "at" or text})
    if fields.get("at") == "":
        (found,) = export_rows.normalise(row(actor="a"))
    assert isinstance(found, Rejected)
    assert found.detail.startswith(f"v.csv:7: {told}")
    assert "secret" not in found.detail
    assert found.raw == b""


@given(st.dictionaries(st.sampled_from(export_rows.FIELDS), st.text(max_size=20)))
def test_no_row_raises(fields: dict[str, str]) -> None:
    """Whatever stands in a row, it is an act or refused, and has a place in the order."""
    one = Row("x", "f", 1, {name: text for name, text in fields.items() if text}, Columns())
    (found,) = export_rows.normalise(one)
    assert (export_rows.rank(one).at < 0) == isinstance(found, Rejected)
    assert export_rows.normalise(one) == [found]


def test_times_have_a_zone_and_a_form(tmp_path: Path) -> None:
    """Without an offset a time is of the mapping's zone, else UTC; numbers are seconds or ms; a form is held to."""
    (tmp_path / "m.toml").write_text('zone = "Europe/Paris"\ndate_format = "%d/%m/%Y %H:%M"\n')
    assert columns.read(["at"], tmp_path / "m.toml").moment("01/09/2014 12:00") == AT
    for text in ("2014-09-01T10:00", "2014-09-01 12:00+02:00", "1409565600", "1409565600000"):
        assert Columns().moment(text) == AT
    assert Columns().moment("2014-09-01") == AT - 10 * 3_600_000


@pytest.mark.parametrize(
    ("text", "options", "part"),
    [
        ('zone = "Mars/Base"', [], "no time zone 'Mars/Base'"),
        ("nonsense", [], "m.toml: "),
        ('colums = "x"', [], "unknown part 'colums'"),
        ("[columns]\nat = 7", [], "columns.at is a text"),
        ("columns = 7", [], "columns is a table"),
        ("zone = 7", [], "zone is a text"),
        ("", ["actr=A"], "no field 'actr'; did you mean actor?"),
        ("", ["actor"], "'actor' is no field=column"),
        ("", ["actor="], "'actor=' is no field=column"),
    ],
)
def test_what_is_no_mapping_is_refused(tmp_path: Path, text: str, options: list[str], part: str) -> None:
    """A fault of a mapping is one line that says what is wrong with it."""
    (tmp_path / "m.toml").write_text(text)
    with pytest.raises(ColumnsError, match=part.replace("?", r"\?")):
        columns.read(export_rows.FIELDS, tmp_path / "m.toml", options)
    with pytest.raises(ColumnsError, match="No such file"):
        columns.read(export_rows.FIELDS, tmp_path / "none.toml")


def exported(*paths: Path, of: dict[str, str] | None = None) -> Export:
    """Look files through, as an export of X."""
    return Export(paths, "x", export_rows.FIELDS, Columns(of or {}), rank=export_rows.rank)


def test_an_export_is_told_by_time(tmp_path: Path) -> None:
    """Over all files: bad rows, then acts by time, a post before its shares, follows and totals at the end."""
    (tmp_path / "a.csv").write_text(
        "id,kind,at,actor,of,whom\ns2,share,30,b,p,\nf,follow,5,a,,b\nd,delete,20,,s1,\ns1,share,20,a,p,\nbad,,,,,\n"
    )
    (tmp_path / "b.jsonl").write_text('{"id":"p","at":20,"actor":"acme"}\n{"id":"q","kind":"quote","at":20,"of":"p",\n')
    export = exported(tmp_path / "a.csv", tmp_path / "b.jsonl")
    told = [(Path(one.file).name, one.number) for one in export.rows(0)]
    assert told == [
        ("a.csv", 6),
        ("b.jsonl", 2),
        ("b.jsonl", 1),
        ("a.csv", 5),
        ("a.csv", 4),
        ("a.csv", 2),
        ("a.csv", 3),
    ]
    assert [export.heard(n) for n in range(len(export) + 1)] == [None, None, None, *[20_000] * 3, 30_000, 30_000]
    assert [one.number for one in export.rows(5, 1)] == [2]
    export.close()


def test_a_mapped_column_must_be_there(tmp_path: Path) -> None:
    """One that no file has is refused with those that there are; one that a single file lacks is not."""
    (tmp_path / "a.csv").write_text("A,B\n")
    (tmp_path / "b.csv").write_text("A,C\n")
    exported(tmp_path / "a.csv", tmp_path / "b.csv", of={"actor": "B"}).close()
    with pytest.raises(ColumnsError, match=r"no column 'D' for actor; there are A, B, C"):
        exported(tmp_path / "a.csv", tmp_path / "b.csv", of={"actor": "D"})


def test_a_file_that_changes_under_the_reader_is_told(tmp_path: Path) -> None:
    """Written into while it is read, it is refused; another in its place does no harm."""
    path = tmp_path / "a.csv"
    path.write_text("id,at,actor\np,20,acme\n")
    export = exported(path)
    path.with_suffix(".new").write_text("id,at,actor\nq,20,acme\n")
    path.with_suffix(".new").replace(path)
    assert [one.fields["id"] for one in export.rows(0)] == ["p"]
    assert not export.is_there()
    export.close()
    export = exported(path)
    with path.open("a") as file:
        file.write("r,20,acme\n")
    with pytest.raises(TableError, match="written into while it was read"):
        export.rows(0)
    export.close()


def test_an_old_export_is_older_than_the_retention(tmp_path: Path) -> None:
    """Started again in the middle of an old export, a connector still finds the post of long ago that is shared."""
    path = tmp_path / "a.csv"
    many = "".join(f"s{n},{1_400_000_001_000 + n},a{n},p,\n" for n in range(2 * ROWS))
    path.write_text(f"id,at,actor,of,urls\np,1400000000000,acme,,{URL}\n{many}")
    connector, shelf = made("viadeo", {"files": [str(path)]}), Shelf()
    with Journal(tmp_path / "journal") as journal:
        completion = Completion(journal, match, "viadeo")
        connector.connect(None)
        for _ in range(2):  # the cursor of a cold start, and a page
            page = connector.read(0)
            assert page is not None
            for raw in page.raw:
                for seen in connector.normalise(raw):
                    completion.events(seen, "import")
            journal.save(journal.turn(page.cursor, page.heard))
        connector.close()
        runner = Runner(connector, journal, completion, lambda: shelf, Notes(), retention_ms=400 * DAY_MS)
        runner.start()
        until(lambda: len(shelf.ids()) == ROWS + 1 or runner.status.messages > ROWS, "the other shares")
        assert runner.stop()
    assert len(shelf.ids()) == ROWS + 1


# The command


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Give a folder with an offer, and an export of a post and two shares of it, the newest first."""
    (tmp_path / "offers.yaml").write_text(f"- {{id: {OFFER}, title: A job, urls: ['{URL}']}}\n")
    good("offers", "import", "offers.yaml", cwd=tmp_path)
    (tmp_path / "v.csv").write_text(
        "Ref;Membre;Date;Nom;Publication;Texte\n"
        "s2;b;2014-09-03;Jeanne Dupont;p1;\n"
        "s1;a;2014-09-02;Jean Martin;p1;\n"
        f"p1;acme;2014-09-01;Acme;;On recrute : {URL}\n"
    )
    (tmp_path / "m.toml").write_text('[columns]\nid = "Ref"\nactor = "Membre"\nat = "Date"\nof = "Publication"\n')
    return tmp_path


IMPORT = ("import", "v.csv", "--network", "viadeo", "--columns", "m.toml", "--column", "text=Texte")


def reported(folder: Path) -> list[dict[str, Any]]:
    """Ask the state for its report."""
    return [json.loads(line) for line in good("report", cwd=folder).out.splitlines()]


def test_an_export_comes_in(folder: Path) -> None:
    """Twice is once; what lies in the state names nobody in clear, nor does what nobody mapped stand anywhere."""
    first = good(*IMPORT, cwd=folder, env=KEY)
    assert first.out == "viadeo: 3 rows, 0 bad, 0 about no offer; events: 1 post, 2 share; 1 offers\n"
    (cascade, offer) = reported(folder)
    assert (cascade["nodes"], cascade["network"], offer["offer"]) == (3, "viadeo", OFFER)
    assert good(*IMPORT, cwd=folder, env=KEY).out == first.out
    assert reported(folder) == [cascade, offer]
    state = b"".join(path.read_bytes() for path in folder.glob("ricochet.state*"))
    kept = state + b"".join(path.read_bytes() for path in folder.glob("ricochet-journals/*"))
    assert b"viadeo:acme" not in state
    assert b"viadeo:acme" in kept, "the journal has names in clear"
    assert b"Jeanne" not in kept


def test_a_later_export_finds_the_posts_of_an_earlier_one(folder: Path) -> None:
    """A share of a post that came with another file belongs to its offer."""
    good(*IMPORT, cwd=folder, env=KEY)
    (folder / "v.csv").write_text("Ref;Membre;Date;Publication;Texte\ns3;c;2014-09-04;p1;\n")
    assert "1 rows, 0 bad, 0 about no offer; events: 1 share" in good(*IMPORT, cwd=folder, env=KEY).out
    assert reported(folder)[0]["nodes"] == 4


def test_a_dry_run_shows_and_writes_nothing(folder: Path) -> None:
    """It says which columns are read, what would become of the rows, and all that is wrong; exit code 1 then."""
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    dry = good(*IMPORT, "--dry-run", cwd=folder)
    lines = dry.out.splitlines()
    assert lines[:2] == [
        "columns   id = Ref, at = Date, actor = Membre, of = Publication, text = Texte",
        "not read  Nom",
    ]
    assert [json.loads(line)["id"] for line in lines[2:5]] == ["viadeo:p1", "viadeo:s1", "viadeo:s2"]
    assert lines[5] == "3 rows, 0 bad, 0 about no offer; events: 1 post, 2 share; 1 offers; nothing was written"
    with (folder / "v.csv").open("a") as file:
        file.write("".join(f"x{n};b;never;Jeanne;p1;\n" for n in range(12)) + "y;b;2014-09-03;Jeanne;p9;\n")
    before["v.csv"] = (folder / "v.csv").read_bytes()
    bad = ended(*IMPORT, "--dry-run", cwd=folder)
    assert (bad.code, len(bad.err.splitlines())) == (1, 12)
    assert bad.err.splitlines()[0] == "v.csv:5: Date: no time such as 2026-09-01T12:00:00+02:00"
    assert "16 rows, 12 bad, 1 about no offer" in bad.out
    assert {path.name: path.read_bytes() for path in folder.iterdir() if "state" not in path.name} == {
        name: content for name, content in before.items() if "state" not in name
    }
    assert "x1" not in good("offers", "near", cwd=folder).out


def test_good_rows_come_in_beside_bad_ones(folder: Path) -> None:
    """The first ten bad rows are told in full, the others by number, and the good ones are used."""
    with (folder / "v.csv").open("a") as file:
        file.write("".join(f"x{n};b;never;Jeanne;p1;\n" for n in range(12)))
    done = good(*IMPORT, cwd=folder, env=KEY)
    assert done.err.splitlines()[-1] == "... and 2 more bad rows, see --dry-run"
    assert len(done.err.splitlines()) == 11
    assert reported(folder)[0]["nodes"] == 3


@pytest.mark.parametrize(
    ("args", "env", "said"),
    [
        (IMPORT, {}, "set hash_key"),
        (("import", "none.csv", "--network", "viadeo"), KEY, "none.csv: No such file"),
        (("import", "v.csv", "--network", "Via Deo"), KEY, "no name of a network"),
        (("import", "v.csv"), KEY, "Missing option '--network'"),
        (("import", "v.csv", "--network", "x", "--column", "at=Day"), KEY, "no column 'Day' for at"),
        ((*IMPORT, "--to", "kafka", "--state", "s"), KEY, "--state is for --to embedded"),
        ((*IMPORT, "--to", "kafka"), KEY | {"RICOCHET_KAFKA": "127.0.0.1:1"}, "Kafka at 127.0.0.1:1"),
    ],
)
def test_what_can_not_be_imported_is_one_line(
    folder: Path, args: tuple[str, ...], env: dict[str, str], said: str
) -> None:
    """No key, no file, no network, no column, no Kafka: a line and exit code 2."""
    assert said in ended(*args, cwd=folder, env=env).complaint()


def test_an_export_goes_to_kafka(hands: Crew, folder: Path) -> None:
    """With --to kafka the workers have it."""
    env = hands.env | KEY
    good("offers", "import", "offers.yaml", "--to", "kafka", cwd=folder, env=env)
    assert "events: 1 post, 2 share" in good(*IMPORT, "--to", "kafka", cwd=folder, env=env).out
    hands.ready(hands.start())
    hands.caught_up()
    assert json.loads(hands.report([OFFER])[0].splitlines()[0])["nodes"] == 3


def test_the_embedded_engine_reads_an_export_beside_others(folder: Path) -> None:
    """`run --connect viadeo` reads the files of its option, and again what is put in their place."""
    env = KEY | {
        "RICOCHET_CONNECTORS__VIADEO__FILES": "v.csv",
        "RICOCHET_CONNECTORS__VIADEO__MAPPING": "m.toml",
        "RICOCHET_LOG_FORMAT": "json",
    }
    (folder / "m.toml").write_text((folder / "m.toml").read_text() + 'text = "Texte"\n')
    checked = good("connect", "viadeo", "--check", cwd=folder, env=env).out
    assert "sees    3 rows of v.csv" in checked
    assert "misses  column Nom, which nobody mapped" in checked
    with started("run", "--connect", "viadeo", "--port", "0", cwd=folder, env=env) as child:
        from tests.processes import address

        child.base = address(child.line('"event": "running"'))
        child.has(OFFER, 3)
        whole = (folder / "v.csv").read_text() + "s3;c;2014-09-04;Jeanne;p1;\n"
        (folder / "new").write_text(whole)
        (folder / "new").replace(folder / "v.csv")
        child.has(OFFER, 4)
        assert child.end() == 0
