"""Names of files, folders, globs and URLs become the files they stand for."""

import secrets

import fsspec
import pytest

from pipeline_lib.text_files.finding import find_files
from pipeline_lib.text_files.opening import TextFileError


@pytest.fixture
def folder(tmp_path):
    for name in ("b.jsonl", "a.jsonl.zst", "deep/er/c.parquet", "deep/D.JSON.GZ", "notes.txt", "[x].jsonl", "x.jsonl"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "empty").mkdir()
    return tmp_path


def names(folder, found):
    return [file.removeprefix(f"{folder}/") for file in found]


@pytest.mark.parametrize(
    ("patterns", "expected"),
    [
        (["b.jsonl"], ["b.jsonl"]),
        (["notes.txt"], ["notes.txt"]),  # named, so meant; what it is, its bytes say
        (["."], ["[x].jsonl", "a.jsonl.zst", "b.jsonl", "deep/D.JSON.GZ", "deep/er/c.parquet", "x.jsonl"]),
        (["*.jsonl*"], ["[x].jsonl", "a.jsonl.zst", "b.jsonl", "x.jsonl"]),
        (["**/*.parquet"], ["deep/er/c.parquet"]),
        (["x.jsonl", "*.jsonl", "./b.jsonl", "deep/../b.jsonl"], ["x.jsonl", "[x].jsonl", "b.jsonl"]),
        (["[x].jsonl"], ["[x].jsonl"]),
        (["?.jsonl"], ["b.jsonl", "x.jsonl"]),
    ],
)
def test_patterns_stand_for_files_sorted_within_each_and_none_twice(folder, monkeypatch, patterns, expected):
    monkeypatch.chdir(folder)
    assert names(folder, find_files(patterns)) == expected
    assert names(folder, find_files([f"file://{folder}/{pattern}" for pattern in patterns])) == expected


def test_of_the_output_of_a_command_the_documents_are_meant(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    output = (
        "kept/a.jsonl.zst",
        "kept/rejected/b.parquet",
        "decisions/a.parquet",
        "rejected/a.parquet",
        "summary.json",
    )
    own = ("summary.json", "decisions/mine.parquet")  # no output: nothing rejected
    for name in (*(f"in/output/{each}" for each in output), *(f"in/own/{each}" for each in own)):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    documents = ["kept/a.jsonl.zst", "kept/rejected/b.parquet"]
    assert names(tmp_path, find_files(["in/output"])) == [f"in/output/{each}" for each in documents]
    assert names(tmp_path, find_files(["in"])) == [
        *(f"in/output/{each}" for each in documents),
        "in/own/decisions/mine.parquet",
        "in/own/summary.json",
    ]


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        ("none.jsonl", "there is no such file"),
        ("*.csv", "no file matches"),
        ("empt*", "no file matches"),
        ("empty", "the folder holds no file named *.jsonl"),
        ("", "an empty path"),
        ("memory://nowhere/x.jsonl", "there is no such file"),
        ("memory://nowhere/*.jsonl", "no file matches"),
        ("nosuchscheme://a/b.jsonl", "cannot be looked up"),
    ],
)
def test_a_pattern_that_matches_nothing_is_refused(folder, monkeypatch, pattern, said):
    monkeypatch.chdir(folder)
    with pytest.raises(TextFileError) as caught:
        find_files(["b.jsonl", pattern])
    assert str(caught.value).startswith(pattern)
    assert said in str(caught.value)


def test_urls_may_be_files_folders_and_globs():
    root = f"/find-{secrets.token_hex(4)}"
    memory = fsspec.filesystem("memory")
    for name in ("b.jsonl", "a.parquet", "deep/c.ndjson.gz", "readme.md"):
        memory.pipe_file(f"{root}/{name}", b"x")
    url = f"memory://{root}"
    assert find_files([f"{url}/b.jsonl"]) == [f"{url}/b.jsonl"]
    assert find_files([url]) == [f"{url}/a.parquet", f"{url}/b.jsonl", f"{url}/deep/c.ndjson.gz"]
    assert find_files([f"{url}/b.jsonl", f"{url}/*.*"]) == [f"{url}/b.jsonl", f"{url}/a.parquet", f"{url}/readme.md"]
