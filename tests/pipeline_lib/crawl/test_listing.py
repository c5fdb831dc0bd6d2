"""Choosing whole files: a crawl's list, every so many-th, a sample; and what must not cost a request each."""

import gzip
import random

import pytest
from crawl_index import CountingReader, PlainReader, served
from hypothesis import given
from hypothesis import strategies as st

from pipeline_lib.crawl.fetching import FetchParameters
from pipeline_lib.crawl.index_query import CrawlSelection
from pipeline_lib.crawl.listing import SourceError, choose_paths, list_crawl_files, list_sources
from pipeline_lib.crawl.remote import Remote

READER = Remote(FetchParameters(max_attempts=2, backoff_seconds=0.01))

CRAWL = "CC-MAIN-2026-43"
PATHS = [f"crawl-data/{CRAWL}/segments/1.{number % 7}/warc/{number:05d}.warc.gz" for number in range(300)]


@pytest.fixture
def mirror(tmp_path):
    """A mirror that has nothing but the lists."""
    folder = tmp_path / "mirror" / f"crawl-data/{CRAWL}"
    folder.mkdir(parents=True)
    for kind in ("warc", "wet"):
        paths = [path.replace("/warc/", f"/{kind}/").replace(".warc.gz", ".warc.wet.gz") for path in PATHS]
        listed = "".join(f"{path}\n" for path in (PATHS if kind == "warc" else paths))
        (folder / f"{kind}.paths.gz").write_bytes(gzip.compress(listed.encode()))
    return tmp_path / "mirror"


def test_the_files_of_a_crawl_are_those_of_its_list_and_only_the_list_is_read(mirror):
    reader = CountingReader()
    with served(mirror) as address:
        sources = list_crawl_files(reader, CrawlSelection(crawl=CRAWL, base_url=f"{address}/"))
    assert [source.warc_path for source in sources] == PATHS
    assert [source.url for source in sources] == [f"{address}/{path}" for path in PATHS]
    assert {(source.num_bytes, source.fingerprint) for source in sources} == {(-1, "path")}
    assert [url for url, _, _ in reader.asked] == [f"{address}/crawl-data/{CRAWL}/warc.paths.gz"]


def test_a_mirror_has_the_same_files_by_the_same_names(mirror):
    selection = CrawlSelection(crawl=CRAWL, sample=5, base_url=str(mirror))
    local = list_crawl_files(PlainReader(), selection)
    with served(mirror) as address:
        remote = list_crawl_files(PlainReader(), CrawlSelection(crawl=CRAWL, sample=5, base_url=address))
    assert [(each.warc_path, each.fingerprint) for each in local] == [
        (each.warc_path, each.fingerprint) for each in remote
    ]
    assert local[0].url == f"{mirror}/{local[0].warc_path}"


def test_wet_files_have_a_list_of_their_own(mirror):
    sources = list_crawl_files(PlainReader(), CrawlSelection(crawl=CRAWL, files="wet", first=2, base_url=str(mirror)))
    assert [source.warc_path for source in sources] == [
        f"crawl-data/{CRAWL}/segments/1.0/wet/00000.warc.wet.gz",
        f"crawl-data/{CRAWL}/segments/1.1/wet/00001.warc.wet.gz",
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "check source.crawl"),
        (gzip.compress(b""), "list of paths is empty"),
        (b"<html>", "begin with crawl-data/"),
        (gzip.compress(b"crawl-data/../../x.warc.gz\n"), "leads out of its root"),
        (gzip.compress(b"crawl-data/x")[:-4], "not a list of paths"),
    ],
)
def test_a_crawl_without_a_usable_list_is_a_clear_error(tmp_path, content, message):
    folder = tmp_path / "crawl-data/CC-X"
    folder.mkdir(parents=True)
    if content is not None:
        (folder / "warc.paths.gz").write_bytes(content)
    with pytest.raises(SourceError, match=message):
        list_crawl_files(PlainReader(), CrawlSelection(crawl="CC-X", base_url=str(tmp_path)))


def test_first_and_every_count_from_the_first_path():
    assert choose_paths(PATHS, 3) == PATHS[:3]
    assert choose_paths(PATHS, every=100) == [PATHS[0], PATHS[100], PATHS[200]]
    assert choose_paths(PATHS, 2, every=100) == [PATHS[0], PATHS[100]]


@given(st.lists(st.text(max_size=5), unique=True, max_size=30), st.integers(1, 12), st.integers(0, 5), st.randoms())
def test_a_sample_is_in_the_lists_order_but_does_not_depend_on_it(paths, num_paths, seed, rng):
    drawn = choose_paths(paths, sample=num_paths, seed=seed)
    shuffled = rng.sample(paths, len(paths))
    assert drawn == [path for path in paths if path in drawn]
    assert len(drawn) == min(num_paths, len(paths))
    assert set(choose_paths(shuffled, sample=num_paths, seed=seed)) == set(drawn)
    assert set(drawn) <= set(choose_paths(paths, sample=num_paths + 1, seed=seed))


def test_samples_of_other_seeds_are_others_and_every_path_has_the_same_chance():
    samples = [choose_paths(PATHS, sample=30, seed=seed) for seed in range(200)]
    assert len({tuple(sample) for sample in samples}) == 200
    drawn = [sum(path in sample for sample in samples) for path in PATHS]
    assert 3 <= min(drawn) <= max(drawn) <= 45  # 20 expected, standard deviation 4.2


def test_every_and_sample_choose_among_named_files_too(tmp_path):
    for name in "abcdef":
        (tmp_path / f"{name}.warc").write_bytes(name.encode())
    assert [source.warc_path for source in list_sources(READER, [str(tmp_path)], every=2)] == [
        "a.warc",
        "c.warc",
        "e.warc",
    ]
    sample = [source.warc_path for source in list_sources(READER, [str(tmp_path)], sample=3, seed=1)]
    names = [f"{name}.warc" for name in random.Random(0).sample("abcdef", 6)]
    backwards = list_sources(READER, [str(tmp_path / name) for name in names], sample=3, seed=1)
    assert sample == sorted(source.warc_path for source in backwards)


def test_local_files_of_a_local_list_keep_their_digests(tmp_path):
    folder = tmp_path / "crawl-data/C"
    folder.mkdir(parents=True)
    (folder / "a.warc.gz").write_bytes(b"bytes")
    (folder / "warc.paths").write_text("crawl-data/C/a.warc.gz\n")
    (source,) = list_sources(READER, [str(folder / "warc.paths")])
    assert source.fingerprint.startswith("sha256:")


@pytest.mark.parametrize("name", ["a.warc", "a.warc.zst", "a.warc.lz4", "a.warc.wet", "a.warc.wet.gz"])
def test_folders_give_files_in_every_packing(tmp_path, name):
    (tmp_path / name).write_bytes(b"")
    (tmp_path / "a.warc.wat.gz").write_bytes(b"metadata, no pages")
    (tmp_path / "a.txt").write_bytes(b"")
    assert [source.warc_path for source in list_sources(READER, [str(tmp_path)])] == [name]


def test_a_folder_with_pages_and_the_text_of_the_same_pages_is_refused(tmp_path):
    for name in ("a.warc.gz", "a.warc.wet.gz"):
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(SourceError, match=r"text of the same pages; name one kind, such as .*\*\.warc\.gz"):
        list_sources(READER, [str(tmp_path)])
    assert [source.warc_path for source in list_sources(READER, [f"{tmp_path}/**/*.warc.gz"])] == ["a.warc.gz"]


def test_a_list_can_be_read_by_a_reader_that_is_given(mirror):
    reader = CountingReader()
    with served(mirror) as address:
        listed = f"{address}/crawl-data/{CRAWL}/warc.paths.gz"
        assert len(list_sources(reader, [listed], files=4)) == 4
        with pytest.raises(SourceError, match="there is no such file"):
            list_sources(reader, [f"{address}/crawl-data/none/warc.paths.gz"])
    assert [url for url, _, _ in reader.asked] == [listed]
