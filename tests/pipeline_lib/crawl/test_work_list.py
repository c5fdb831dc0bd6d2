"""Work lists: every wanted record once, little waste, no overlap, whatever the order of the index's answer."""

import itertools

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline_lib.crawl.work_list import RecordCollector, WorkListParameters, make_work_list, sample_records
from storage.schemas import SOURCES

records_lists = st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 60), st.integers(1, 12)), max_size=40)
apart_lists = st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 15), st.integers(1, 4)), max_size=40)
parameters = st.builds(
    WorkListParameters,
    max_gap_bytes=st.integers(0, 8),
    part_bytes=st.integers(1, 60),
    part_records=st.integers(1, 9),
)


def collected(records, piece=7):
    collector = RecordCollector()
    for start in range(0, len(records), piece):
        rows = records[start : start + piece]
        collector.add(pl.DataFrame(rows, schema=["filename", "offset", "length"], orient="row"))
    return collector.records()


def parts_of(records, made_with):
    return [part.to_pylist() for part in make_work_list(collected(records), made_with).parts()]


def longest(records):
    """Of records that begin at the same byte the longest."""
    return {(name, offset): max(r[2] for r in records if r[:2] == (name, offset)) for name, offset, _ in records}


def bytes_of(records):
    return {(name, byte) for name, offset, length in records for byte in range(offset, offset + length)}


@given(records_lists, parameters)
def test_every_wanted_record_is_whole_in_exactly_one_range(records, made_with):
    ranges = [each for part in parts_of(records, made_with) for each in part]
    wanted = [(each["warc_path"], offset) for each in ranges for offset in each["wanted"]]
    assert sorted(wanted) == sorted(longest(records))
    for each in ranges:
        for offset in each["wanted"]:
            length = longest(records)[each["warc_path"], offset]
            assert each["offset"] <= offset
            assert offset + length <= each["offset"] + each["length"]


@given(records_lists, parameters)
def test_no_two_ranges_overlap_and_they_are_in_order(records, made_with):
    ranges = [each for part in parts_of(records, made_with) for each in part]
    for one, other in itertools.pairwise(ranges):
        if one["warc_path"] == other["warc_path"]:
            assert one["offset"] + one["length"] <= other["offset"]
        else:
            assert one["warc_path"] < other["warc_path"]


@given(records_lists, parameters)
def test_what_is_read_for_nothing_is_gaps_up_to_the_limit(records, made_with):
    wanted = bytes_of(records)
    for part in parts_of(records, made_with):
        for each in part:
            run = 0
            first, last = each["offset"], each["offset"] + each["length"] - 1
            assert {(each["warc_path"], first), (each["warc_path"], last)} <= wanted
            for byte in range(first, last + 1):
                run = 0 if (each["warc_path"], byte) in wanted else run + 1
                assert run <= made_with.max_gap_bytes


@given(records_lists, parameters)
def test_waste_is_measured_to_the_byte(records, made_with):
    work_list = make_work_list(collected(records), made_with)
    assert work_list.wanted_bytes == len(bytes_of(records))
    assert work_list.total_bytes == sum(each["length"] for part in parts_of(records, made_with) for each in part)


@given(apart_lists, parameters)
def test_neighbours_in_a_part_that_are_near_enough_share_a_range_and_parts_are_no_larger_than_they_should(
    places, made_with
):
    records = list({(name, 5 * place): (name, 5 * place, length) for name, place, length in places}.values())
    for part in parts_of(records, made_with):
        for one, other in itertools.pairwise(part):
            gap = other["offset"] - one["offset"] - one["length"]
            assert one["warc_path"] != other["warc_path"] or gap > made_with.max_gap_bytes
        num_records = sum(len(each["wanted"]) for each in part)
        num_bytes = sum(each["length"] for each in part)
        assert num_records <= made_with.part_records
        assert num_bytes <= made_with.part_bytes or num_records == 1


@given(apart_lists, parameters)
def test_a_part_ends_only_where_the_next_record_would_be_too_much(places, made_with):
    records = list({(name, 5 * place): (name, 5 * place, length) for name, place, length in places}.values())
    parts = parts_of(records, made_with)
    for part, following in itertools.pairwise(parts):
        head = following[0]
        last = part[-1]
        length = longest(records)[head["warc_path"], head["wanted"][0]]
        gap = head["offset"] - last["offset"] - last["length"]
        near = head["warc_path"] == last["warc_path"] and gap <= made_with.max_gap_bytes
        num_bytes = sum(each["length"] for each in part) + length + (gap if near else 0)
        num_records = sum(len(each["wanted"]) for each in part) + 1
        assert num_bytes > made_with.part_bytes or num_records > made_with.part_records


@given(records_lists, parameters, st.randoms(), st.integers(1, 20))
def test_the_order_in_which_records_are_named_changes_nothing(records, made_with, rng, piece):
    shuffled = rng.sample(records, len(records))
    one, other = (make_work_list(collected(each, piece), made_with) for each in (records, shuffled))
    assert [part.to_pylist() for part in one.parts()] == [part.to_pylist() for part in other.parts()]
    assert one.records.num_duplicates == other.records.num_duplicates == len(records) - len(longest(records))


@given(records_lists, st.integers(1, 10), st.integers(0, 3), st.randoms())
def test_a_sample_depends_on_places_and_seed_only_and_a_larger_one_contains_it(records, num_records, seed, rng):
    shuffled = collected(rng.sample(records, len(records)), 3)
    drawn = [
        {(each.files[file], offset) for file, offset in zip(each.file, each.offset, strict=True)}
        for each in (
            sample_records(collected(records), num_records, seed),
            sample_records(shuffled, num_records, seed),
            sample_records(shuffled, num_records + 1, seed),
        )
    ]
    assert drawn[0] == drawn[1] <= drawn[2] <= set(longest(records))
    assert len(drawn[0]) == min(num_records, len(longest(records)))


def test_a_sample_is_fair_between_files_and_places():
    records = collected([("abcd"[number % 4], number * 100, 10) for number in range(4000)], 1000)
    samples = [sample_records(records, 400, seed) for seed in range(50)]
    by_file = sum(np.bincount(sample.file, minlength=4) for sample in samples)
    first_half = sum(int((sample.offset < 200_000).sum()) for sample in samples)
    assert all(4650 < count < 5350 for count in by_file)  # 5000 expected, standard deviation 61
    assert 9600 < first_half < 10400  # 10,000 expected, standard deviation 67
    assert len({tuple(sample.offset) for sample in samples}) == 50


def test_the_rows_are_what_fetching_reads():
    (part,) = make_work_list(
        collected([("w/b.warc.gz", 500, 70), ("w/b.warc.gz", 580, 5), ("w/a.warc.gz", 1000, 9)]),
        WorkListParameters(max_gap_bytes=10),
    ).parts()
    assert part.schema.equals(SOURCES, check_metadata=True)
    common = {"kind": "warc", "bytes": -1, "fingerprint": "path"}
    first = {"warc_path": "w/a.warc.gz", "url": "w/a.warc.gz", "position": 1000, "offset": 1000, "length": 9}
    second = {"warc_path": "w/b.warc.gz", "url": "w/b.warc.gz", "position": 500, "offset": 500, "length": 85}
    assert part.to_pylist() == [{**first, "wanted": [1000], **common}, {**second, "wanted": [500, 580], **common}]


def test_no_records_are_no_parts():
    assert list(make_work_list(collected([]), WorkListParameters()).parts()) == []


@pytest.mark.parametrize("changes", [{"max_gap_bytes": -1}, {"part_bytes": 0}, {"part_records": 0}])
def test_limits_that_allow_nothing_are_refused(changes):
    with pytest.raises(ValueError, match=next(iter(changes))):
        WorkListParameters(**changes)
