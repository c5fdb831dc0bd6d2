"""`gristmill dedup` on files as people have them."""

import gzip
import hashlib
import json
import random
import threading
from functools import cache, partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result

from flows.cli import main
from storage.schemas import DOCUMENTS, document_id
from storage.tables import read_table


def gristmill(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(each) for each in arguments])


def words(seed: int, number: int = 120) -> list[str]:
    chosen = random.Random(seed)
    return ["".join(chosen.choices("abcdefghij", k=4)) for _ in range(number)]


def text(seed: int, **changed: str) -> str:
    """120 words; `w50="x"` makes another one of the 51st, which leaves a similarity of 111 / 121."""
    made = words(seed)
    for name, word in changed.items():
        made[int(name[1:])] = word
    return " ".join(made)


@cache
def shingles(content: str) -> frozenset[tuple[str, ...]]:
    parts = content.lower().split()
    return frozenset(tuple(parts[at : at + 5]) for at in range(len(parts) - 4))


def jaccard(one: str, other: str) -> float:
    a, b = shingles(one), shingles(other)
    return len(a & b) / len(a | b)


def jsonl(rows: list[Any]) -> bytes:
    return b"".join((row if isinstance(row, bytes) else json.dumps(row).encode()) + b"\n" for row in rows)


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A folder with one file of each kind."""
    folder = tmp_path / "files"
    (folder / "more").mkdir(parents=True)
    plain = [
        {"id": "p0", "text": text(0), "note": {"kept": [1, 2.50, None]}},
        {"id": "p1", "text": text(1, w7="longest-of-its-kind")},
        b'{"text": 5}',
        b"",
        {"id": "p2", "text": text(2)},
        b'  {"id":"p3",  "text":"A short one"}  ',
        {"id": "p4", "text": ""},
    ]
    (folder / "plain.jsonl").write_bytes(jsonl(plain))
    zipped = [
        {"text": text(1), "url": "https://a.example/1"},
        b"not json",
        {"text": text(3), "url": "https://a.example/3"},
        {"text": "a SHORT one!"},
        {"text": ""},
    ]
    (folder / "zipped.jsonl.gz").write_bytes(gzip.compress(jsonl(zipped)))
    zstd = pa.compress(jsonl([{"doc_id": 5, "text": f"{text(3)}."}, {"doc_id": 6}]), "zstd", asbytes=True)
    (folder / "more" / "plain.jsonl.zst").write_bytes(zstd)
    table = pa.table(
        {
            "doc_id": ["q0", "q1", "q2"],
            "text": pa.array([text(2, w50="other"), None, text(4)], pa.large_string()),
            "list": [[1], [2], None],
        }
    ).replace_schema_metadata({"mine": "too"})
    pq.write_table(table, folder / "table.parquet")
    (folder / "notes.txt").write_text("not meant")
    return folder


def lines_of(path: Path) -> list[bytes]:
    with pa.OSFile(str(path)) as file, pa.CompressedInputStream(file, "zstd") as stream:
        return bytes(stream.read(1 << 30)).splitlines(keepends=True)


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def decisions(out: Path) -> dict[str, dict[str, Any]]:
    """By id."""
    return {row["id"]: row for path in (out / "decisions").iterdir() for row in pq.read_table(path).to_pylist()}


def kept_texts(out: Path) -> set[str]:
    texts = {json.loads(line)["text"] for path in (out / "kept").glob("*.zst") for line in lines_of(path)}
    return texts.union(*(pq.read_table(path)["text"].to_pylist() for path in (out / "kept").glob("*.parquet")))


def test_dedup_keeps_rows_as_they_were_and_tells_of_each_other_why(files: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = gristmill("dedup", files, "--out", out, "--workers", "2")
    assert done.exit_code == 0, done.stderr
    assert "16 rows, 8 kept (50.0%)" in done.stdout

    plain = (files / "plain.jsonl").read_bytes().splitlines(keepends=True)
    zipped = gzip.decompress((files / "zipped.jsonl.gz").read_bytes()).splitlines(keepends=True)
    assert [path.name for path in sorted((out / "kept").iterdir())] == [
        "plain-2.jsonl.zst",
        "plain.jsonl.zst",
        "table.parquet",
        "zipped.jsonl.zst",
    ]
    kept_plain, kept_zipped = (lines_of(out / "kept" / name) for name in ("plain-2.jsonl.zst", "zipped.jsonl.zst"))
    found = decisions(out)
    assert kept_plain == [plain[0], plain[1], plain[6]]
    assert kept_zipped == [zipped[3], zipped[4]]  # a dot longer than the same words in another file

    table = pq.read_table(out / "kept" / "table.parquet")
    original = pq.read_table(files / "table.parquet")
    assert table.schema.equals(original.schema, check_metadata=True)
    assert table.to_pylist() == original.take([0, 2]).to_pylist()

    near = found["p2"]
    assert near["rule"] == "near_duplicate"
    assert (near["row"], near["kept_id"], near["kept_file"], near["kept_in"]) == (3, "q0", "kept/table.parquet", None)
    assert near["similarity"] == jaccard(text(2), text(2, w50="other"))
    assert near["bands_shared"] >= 1
    exact = found["p3"]
    assert (exact["rule"], exact["similarity"], exact["kept_file"]) == ("exact_duplicate", 1.0, "kept/zipped.jsonl.zst")
    made = f"sha256:{hashlib.sha256((files / 'zipped.jsonl.gz').read_bytes()).hexdigest()}"
    assert exact["kept_id"] == document_id(made, 3)
    assert found.keys() == {"p2", "p3", document_id(made, 0), document_id(made, 2)}
    assert found[document_id(made, 2)]["kept_id"] == "5"

    rejected = {path.stem: pq.read_table(path).to_pylist() for path in (out / "rejected").iterdir()}
    assert rejected == {
        "plain-2": [{"row": 2, "reason": "text_not_string"}],
        "plain": [{"row": 1, "reason": "no_text"}],
        "table": [{"row": 1, "reason": "no_text"}],
        "zipped": [{"row": 1, "reason": "bad_json"}],
    }


def test_accounts_add_up_file_by_file(files: Path, tmp_path: Path) -> None:
    done = gristmill("dedup", files, "--out", tmp_path / "out", "--workers", "1", "--json")
    assert done.exit_code == 0, done.stderr
    printed = json.loads(done.stdout)
    assert printed == json.loads((tmp_path / "out" / "summary.json").read_text())
    assert (printed["documents_in"], printed["documents_out"]) == (16, 8)
    assert printed["dropped"] == {
        "exact_duplicate": 2,
        "near_duplicate": 2,
        "bad_json": 1,
        "no_text": 2,
        "text_not_string": 1,
    }
    assert (printed["parameters"]["threshold"], printed["parameters"]["url"]) == (0.8, False)
    names = [path.name for path in (files / "more" / "plain.jsonl.zst", *sorted(files.glob("*.[jp]*")))]
    assert sorted(file["name"] for file in printed["files"]) == sorted(names)
    for file in printed["files"]:
        assert file["documents_in"] == file["documents_out"] + sum(file["dropped"].values())
        assert pq.read_table(tmp_path / "out" / file["rejected"]).num_rows == sum(
            count for reason, count in file["dropped"].items() if not reason.endswith("_duplicate")
        )
        assert (tmp_path / "out" / file["kept"]).exists()


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """600 texts in six files, a third of them edits and copies of others."""
    folder = tmp_path_factory.mktemp("many")
    chosen = random.Random(1)
    made: list[str] = []
    for number in range(600):
        if number % 3 == 2:
            edited = chosen.choice(made).split()
            for _ in range(chosen.choice([0, 1, 1, 2, 4, 9])):
                edited[chosen.randrange(len(edited))] = "edited"
            made.append(" ".join(edited))
        else:
            made.append(text(number))
    chosen.shuffle(made)
    for number in range(6):
        rows = [{"id": 100 * number + at, "text": content} for at, content in enumerate(made[100 * number :][:100])]
        (folder / f"part-{number}.jsonl").write_bytes(jsonl(rows))
    return folder


def test_neither_workers_nor_the_order_of_files_change_anything(many: Path, tmp_path: Path) -> None:
    parts = sorted(many.iterdir())
    for name, workers, named in (("one", 1, parts), ("three", 3, parts), ("backwards", 2, parts[::-1])):
        done = gristmill("dedup", *named, "--out", tmp_path / name, "--workers", str(workers))
        assert done.exit_code == 0, done.stderr
    one, three, backwards = (tree(tmp_path / name) for name in ("one", "three", "backwards"))
    assert one == three
    assert one.keys() == backwards.keys()
    assert {name for name in one if one[name] != backwards[name]} == {"summary.json"}  # which lists files as named


def test_whoever_is_removed_has_a_kept_witness_as_similar_as_is_said(many: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert gristmill("dedup", many, "--threshold", "0.7", "--out", out).exit_code == 0
    rows = [json.loads(line) for path in sorted(many.iterdir()) for line in path.read_bytes().splitlines()]
    texts = {str(row["id"]): row["text"] for row in rows}
    kept = {
        str(json.loads(line)["id"]): f"kept/{path.name}" for path in (out / "kept").iterdir() for line in lines_of(path)
    }
    found = decisions(out)
    assert len(found) > 100
    assert found.keys() | kept.keys() == texts.keys()
    assert not found.keys() & kept.keys()
    for each, row in found.items():
        assert kept[row["kept_id"]] == row["kept_file"]
        assert row["similarity"] == jaccard(texts[each], texts[row["kept_id"]]) >= 0.7
        assert (row["rule"] == "exact_duplicate") == (texts[each] == texts[row["kept_id"]])
    # what is left unremoved though it is alike was not found by bands, and that is rare at 0.9
    missed = [
        (one, other) for one in kept for other in kept if one < other and jaccard(texts[one], texts[other]) >= 0.9
    ]
    assert len(missed) <= 1


def test_copies_of_a_file_are_found_to_be_copies(files: Path, tmp_path: Path) -> None:
    (files / "copy.jsonl").write_bytes((files / "plain.jsonl").read_bytes())
    out = tmp_path / "out"
    assert gristmill("dedup", files / "plain.jsonl", files / "copy.jsonl", "--out", out).exit_code == 0
    summary = json.loads((out / "summary.json").read_text())
    assert summary["dropped"] == {"exact_duplicate": 4, "text_not_string": 2}  # an empty text is like no other


def test_the_output_of_extract_is_deduplicated_as_a_folder(tmp_path: Path) -> None:
    pages = tmp_path / "pages"
    pages.mkdir()
    for number, content in enumerate((text(1), text(1, w9="longer-than-before"), text(2))):
        (pages / f"{number}.html").write_text(f"<html><title>Page {number}</title><p>{content}</p></html>")
    (pages / "empty.html").write_text("<html></html>")
    assert gristmill("extract", pages, "--out", tmp_path / "docs", "--workers", "1").exit_code == 0
    done = gristmill("dedup", tmp_path / "docs", "--out", tmp_path / "out")
    assert done.exit_code == 0, done.stderr
    kept = read_table(tmp_path / "out" / "kept" / "html.parquet", DOCUMENTS)
    assert kept["warc_path"].to_pylist() == ["1.html", "2.html"]
    assert decisions(tmp_path / "out")[document_id("0.html", 0)]["kept_id"] == document_id("1.html", 0)


def test_what_an_earlier_output_keeps_is_removed(files: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    assert gristmill("dedup", files / "plain.jsonl", "--out", first).exit_code == 0
    done = gristmill("dedup", files, "--against", first, "--out", second)
    assert done.exit_code == 0, done.stderr
    assert kept_texts(second) == {f"{text(3)}.", text(4), ""}
    found = decisions(second)
    assert (found["p0"]["kept_id"], found["p0"]["kept_in"], found["p0"]["rule"]) == ("p0", "first", "exact_duplicate")
    near = found["q0"]  # longer than p2, and yet removed
    assert (near["kept_id"], near["kept_file"], near["kept_in"]) == ("p2", "kept/plain.jsonl.zst", "first")
    assert near["similarity"] == jaccard(text(2), text(2, w50="other"))
    assert json.loads((second / "summary.json").read_text())["against"] == ["first"]


def test_an_earlier_output_is_read_by_the_fields_it_was_made_with(tmp_path: Path) -> None:
    (tmp_path / "old.jsonl").write_bytes(jsonl([{"body": text(1), "key": "old"}]))
    (tmp_path / "new.jsonl").write_bytes(jsonl([{"text": text(1), "id": "new"}]))
    fields = ("--text-field", "body", "--id-field", "key")
    assert gristmill("dedup", tmp_path / "old.jsonl", *fields, "--out", tmp_path / "old").exit_code == 0
    done = gristmill("dedup", tmp_path / "new.jsonl", "--against", tmp_path / "old", "--out", tmp_path / "new")
    assert done.exit_code == 0, done.stderr
    assert decisions(tmp_path / "new")["new"]["kept_id"] == "old"


def test_urls_are_compared_where_their_field_is_named(tmp_path: Path) -> None:
    rows = [
        {"id": "old", "link": "http://www.a.example/page?utm_source=x", "text": text(1)},
        {"id": "new", "link": "https://a.example/page", "text": text(2, w3="much-longer-than-it-was")},
        {"id": "other", "link": "https://a.example/", "text": text(3)},
    ]
    (tmp_path / "file.jsonl").write_bytes(jsonl(rows))
    assert gristmill("dedup", tmp_path / "file.jsonl", "--out", tmp_path / "off").exit_code == 0
    assert decisions(tmp_path / "off") == {}
    done = gristmill("dedup", tmp_path / "file.jsonl", "--url-field", "link", "--out", tmp_path / "on")
    assert done.exit_code == 0, done.stderr
    [(removed, row)] = decisions(tmp_path / "on").items()
    assert (removed, row["rule"], row["kept_id"], row["similarity"]) == ("old", "url_duplicate", "new", None)


@pytest.mark.parametrize(
    ("settings", "kept"),
    [
        ([], "long"),
        (["keep=[earliest]"], "early"),
        (["dedup.keep=latest"], "late"),
        (["keep=[quality,longest]", "quality_signal=score"], "good"),
    ],
)
def test_settings_decide_who_stays(settings: list[str], kept: str, tmp_path: Path) -> None:
    rows = [
        {"id": "long", "text": text(1, w5="very-long-word-indeed"), "date": "2026-01-03", "score": 0.1},
        {"id": "early", "text": text(1), "date": "2026-01-01T00:00:00Z", "score": 0.2},
        {"id": "late", "text": text(1, w5="x"), "date": "2026-01-04", "score": 0.3},
        {"id": "good", "text": text(1, w5="y"), "score": 0.9},
    ]
    (tmp_path / "file.jsonl").write_bytes(jsonl(rows))
    chosen = [argument for each in settings for argument in ("--set", each)]
    done = gristmill("dedup", tmp_path / "file.jsonl", *chosen, "--set", "recall=0.9999", "--out", tmp_path / "out")
    assert done.exit_code == 0, done.stderr
    assert [json.loads(line)["id"] for line in lines_of(tmp_path / "out" / "kept" / "file.jsonl.zst")] == [kept]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["missing.jsonl"], "there is no such file"),
        (["plain.jsonl", "--threshold", "1.5"], "threshold=1.5"),
        (["plain.jsonl", "--set", "treshold=0.5"], "did you mean 'threshold'"),
        (["plain.jsonl", "--set", "keep=[newest]"], "keep"),
        (["plain.jsonl", "--text-field", "content"], "there is no column 'content'"),
        (["table.parquet", "--text-field", "txt"], "Is it 'text'"),
        (["plain.jsonl", "--against", "more"], "more is no output of `gristmill dedup`"),
        (["plain.jsonl", "--scratch", "nowhere"], "there is no such folder for scratch files"),
    ],
)
def test_a_wrong_request_is_told_and_leaves_nothing(
    arguments: list[str], message: str, files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(files)
    done = gristmill("dedup", *arguments, "--out", tmp_path / "out")
    assert (done.exit_code, message in done.stderr) == (2, True), done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["files"]


def test_a_damaged_file_among_others_leaves_nothing(files: Path, tmp_path: Path) -> None:
    whole = gzip.compress(jsonl([{"text": text(number)} for number in range(50)]))
    (files / "zz.jsonl.gz").write_bytes(whole[:-30])
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    done = gristmill("dedup", files, "--out", tmp_path / "made" / "out", "--scratch", scratch, "--workers", "2")
    assert (done.exit_code, "zz.jsonl.gz cannot be read to its end" in done.stderr) == (2, True), done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["files", "scratch"]
    assert list(scratch.iterdir()) == []


def test_scratch_files_are_gone_at_the_end(files: Path, tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    assert gristmill("dedup", files, "--out", tmp_path / "out", "--scratch", scratch).exit_code == 0
    assert list(scratch.iterdir()) == []
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "decisions",
        "kept",
        "rejected",
        "summary.json",
    ]


def test_a_folder_that_is_taken_is_left_alone(files: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "mine.txt").write_text("mine")
    done = gristmill("dedup", files, "--out", out)
    assert (done.exit_code, "not empty" in done.stderr) == (2, True)
    assert [path.name for path in out.iterdir()] == ["mine.txt"]


def test_files_are_read_from_web_addresses(files: Path, tmp_path: Path) -> None:
    (files / "damaged.jsonl.gz").write_bytes((files / "zipped.jsonl.gz").read_bytes()[:-20])
    handler = partial(QuietHandler, directory=str(files))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            address = f"http://127.0.0.1:{server.server_address[1]}"
            urls = [f"{address}/{name}" for name in ("zipped.jsonl.gz?from=here", "table.parquet", "plain.jsonl")]
            done = gristmill("dedup", *urls, "--out", tmp_path / "web")
            damaged = gristmill("dedup", f"{address}/damaged.jsonl.gz", "--out", tmp_path / "damaged")
        finally:
            server.shutdown()
            thread.join()
    assert done.exit_code == 0, done.stderr
    local = [files / name for name in ("zipped.jsonl.gz", "table.parquet", "plain.jsonl")]
    assert gristmill("dedup", *local, "--out", tmp_path / "local").exit_code == 0
    assert tree(tmp_path / "web") == tree(tmp_path / "local")
    assert damaged.exit_code == 2
    assert f"{address}/damaged.jsonl.gz cannot be read to its end" in damaged.stderr


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Nothing on the test's output."""
