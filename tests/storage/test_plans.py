"""Plans: found again by their recipe, in order; what is no plan is passed over."""

from dataclasses import replace

import pytest

from storage.plans import Plan, list_plans, save_plan
from storage.store import Store

PLAN = Plan(
    plan_id="mine-20261126-120000-abcd",
    created_at="2026-11-26T12:00:00+00:00",
    recipe_name="mine",
    recipe_digest="d1",
    basis={"run_id": "mine-sample-1", "measured": 2, "of": 4},
    expected={"cpu_seconds": {"expected": 1.5, "low": None, "high": None}},
    stages=({"name": "fetch", "parts": 4},),
    notes=("an upper bound",),
)


@pytest.fixture
def store(tmp_path) -> Store:
    return Store(str(tmp_path / "store"))


def test_plans_of_a_recipe_are_found_in_order(store) -> None:
    later = replace(PLAN, plan_id="a-later-one", created_at="2026-11-27T12:00:00+00:00")
    for plan in (later, PLAN, replace(PLAN, plan_id="of-another", recipe_digest="d2")):
        save_plan(store, plan)
    assert list_plans(store, "d1") == [PLAN, later]
    assert list_plans(store, "d3") == []


@pytest.mark.parametrize("content", [b"{", b"[]", b'{"version": 2}', b'{"version": 1, "stages": [], "notes": []}'])
def test_what_is_no_plan_of_this_version_is_passed_over(store, content) -> None:
    store.publish_bytes("plans/odd.json", content)
    save_plan(store, PLAN)
    assert list_plans(store, "d1") == [PLAN]
