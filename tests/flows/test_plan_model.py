"""From a few parts to all of them: totals that hold in nine of ten draws, and times on so many workers."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.plan_measures import PartMeasure, StageMeasure
from flows.plan_model import StageEstimate, Whole, estimate, kept_documents, total_of, wall_seconds


def part(name: str = "part-00000", seconds: float = 10.0, **changed: object) -> PartMeasure:
    values = {"documents_in": 100, "documents_out": 80, "bytes": 1000, "seconds": seconds, "cpu_seconds": seconds}
    return PartMeasure(name=name, **{**values, **changed})


def stage(name: str, *parts: PartMeasure, around_seconds: float = 0.0) -> StageMeasure:
    return StageMeasure(
        name=name, unit_in="documents", unit_out="documents", parts=parts, around_seconds=around_seconds
    )


def times(scale: float, *measured: StageMeasure) -> list[StageEstimate]:
    """Of so many times as many parts, all alike."""
    num_parts = max(len(each.parts) for each in measured)
    return estimate(measured, Whole(scale=scale, num_parts=round(scale * num_parts)))


def parts(*seconds: float) -> list[PartMeasure]:
    return [part(f"part-{number:05d}", each) for number, each in enumerate(seconds)]


def test_totals_of_a_sample_hold_the_true_total_in_nine_of_ten_draws() -> None:
    rng = random.Random(5)
    population = [rng.gauss(50, 12) for _ in range(300)]
    draws = 2000
    held = 0
    for _ in range(draws):
        found = total_of(rng.sample(population, 6), [1.0] * 6, len(population), len(population))
        held += found.low <= sum(population) <= found.high
    assert 0.88 < held / draws < 0.92


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=20))
def test_a_sample_of_everything_is_the_total_without_a_doubt(values) -> None:
    found = total_of(values, [1.0] * len(values), len(values), len(values))
    assert found.low == found.expected == found.high == pytest.approx(sum(values))


def test_one_part_tells_no_spread() -> None:
    assert total_of([3.0], [1.0], 10, 10).expected == 30
    assert total_of([3.0], [1.0], 10, 10).low is None


def test_files_of_known_sizes_are_no_reason_for_doubt() -> None:
    """One file is a hundredth of the others: by number, it would halve the total; by size it is as good as any."""
    found = total_of([70.0, 0.7], [70e6, 0.7e6], total_size=280.7e6, num_all=5)
    assert found.low == pytest.approx(280.7) == found.high
    by_number = total_of([70.0, 0.7], [1.0, 1.0], total_size=5, num_all=5)
    assert by_number.expected == pytest.approx(176.75)
    assert by_number.low < 280.7 < by_number.high


def test_what_a_worker_loads_first_is_not_counted_for_every_part() -> None:
    loaded = [part("part-00000", 14.0, is_first=True), *parts(4.0, 4.0)]
    (found,) = times(100, stage("extract", *loaded))
    assert found.cpu_seconds.expected == 300 * 4 + 10
    assert wall_seconds([found], workers=10, requests_per_second=5).expected == 300 * 4 / 10 + 10


def test_a_stage_at_once_grows_by_its_power_and_is_not_shared_out() -> None:
    whole = stage("semantic", part("all", 100.5))
    (found,) = times(4, whole)
    assert found.exponent == 1.5
    assert found.seconds.expected == 0.5 + 100 * 8
    assert wall_seconds([found], 64, 5).expected == found.seconds.expected
    assert (found.documents_out, found.bytes.expected) == (320, 4000)


def test_the_rate_of_requests_is_a_floor_for_any_number_of_workers() -> None:
    fetching = stage("extract", *(part(f"part-{number:05d}", 1.0, requests=60) for number in range(2)))
    (found,) = times(50, fetching)
    assert found.requests == 6000
    assert wall_seconds([found], 1000, requests_per_second=5).expected == 1200
    assert wall_seconds([found], 1, requests_per_second=1e9).expected == 100


def test_no_number_of_workers_is_faster_than_the_longest_part() -> None:
    (found,) = times(1, stage("extract", *parts(1.0, 30.0)))
    assert wall_seconds([found], 64, 5).expected == 30


def test_more_workers_are_never_slower() -> None:
    stages = times(40, stage("extract", *parts(5.0, 7.0, 6.0)), stage("dedup", part("all", 3.0)))
    walls = [wall_seconds(stages, workers, 5).expected for workers in (1, 2, 8, 64, 1000)]
    assert walls == sorted(walls, reverse=True)
    assert walls[0] == pytest.approx(40 * 18 + 0.5 + 2.5 * 40)


def test_the_more_files_the_larger_the_share_of_copies() -> None:
    kept = [part(f"part-{number:05d}", documents_in=90, documents_out=90) for number in range(4)]
    stages = [stage("dedup", part("all", documents_in=400, documents_out=360)), stage("corpus", *kept)]

    def share(scale: int) -> float:
        return kept_documents(stages, Whole(scale=scale, num_parts=4 * scale)).expected / (400 * scale)

    assert share(1) == pytest.approx(0.9)
    # four times as many files take as much again as the four took
    assert share(4) == pytest.approx(0.9 * 0.9)
    assert share(16) == pytest.approx(0.9**3)
    found = kept_documents(stages, Whole(scale=4, num_parts=16))
    assert found.low == pytest.approx(1600 * 0.9**3)
    assert found.high == pytest.approx(1600 * 0.9)


def test_without_copies_all_documents_are_kept() -> None:
    kept = [part(f"part-{number:05d}", documents_in=100, documents_out=100) for number in range(2)]
    stages = [stage("dedup", part("all", documents_in=200, documents_out=200)), stage("corpus", *kept)]
    assert kept_documents(stages, Whole(scale=10, num_parts=20)).expected == pytest.approx(2000)
    assert kept_documents(stages[:1], Whole(scale=10, num_parts=20)) is None
