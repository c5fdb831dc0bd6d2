"""How much memory a worker may use and needs."""

import pytest

from flows.recipe import Recipe, load_recipe
from flows.resources import memory_of_worker, usable_memory_bytes, workers_that_fit
from flows.settings import SettingsError

GIGABYTE = 1 << 30


def recipe(*overrides: str) -> Recipe:
    return load_recipe("commoncrawl", ["source.crawl=CC-MAIN-2026-43", "goal=corpus", *overrides])


def test_memory_shapes_nothing() -> None:
    bounded = recipe("resources.worker_memory_bytes=2000000000")
    assert bounded.resources.worker_memory_bytes == 2_000_000_000
    assert bounded.digest() == recipe().digest()
    assert bounded.rules_digest() == recipe().rules_digest()


def test_a_bound_below_what_a_worker_is_itself_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"worker_memory_bytes=1000000: .*expected at least"):
        recipe("resources.worker_memory_bytes=1000000")


def test_as_many_workers_fit_as_their_needs_go_into_the_memory() -> None:
    needs = memory_of_worker(recipe())
    assert GIGABYTE // 2 < needs < 8 * GIGABYTE
    few, many = workers_that_fit(recipe(), 16 * GIGABYTE), workers_that_fit(recipe(), 64 * GIGABYTE)
    assert 1 <= few < many <= 64 * GIGABYTE // needs
    assert workers_that_fit(recipe(), 8 * GIGABYTE) >= 1


def test_a_machine_that_is_too_small_for_one_worker_fits_none() -> None:
    assert workers_that_fit(recipe(), GIGABYTE // 4) == 0
    assert workers_that_fit(recipe("dedup.memory_bytes=34359738368"), 16 * GIGABYTE) == 0


def test_a_bound_that_is_given_is_what_is_planned_with() -> None:
    small = recipe("resources.worker_memory_bytes=1000000000")
    assert memory_of_worker(small) < memory_of_worker(recipe("resources.worker_memory_bytes=4000000000"))
    assert workers_that_fit(small, 32 * GIGABYTE) > workers_that_fit(
        recipe("resources.worker_memory_bytes=4000000000"), 32 * GIGABYTE
    )


def test_what_is_usable_is_less_than_the_machine_has() -> None:
    import psutil

    assert 0 < usable_memory_bytes() < psutil.virtual_memory().total
