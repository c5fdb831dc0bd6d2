"""Plans: what a recipe was expected to take, stored so that it can be compared with what it took."""

import json
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, Self

from storage.store import Store

_PLAN_VERSION = 1
_FOLDER = "plans"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a recipe will take, as it was estimated.

    Attributes:
        recipe_digest: of the recipe that was planned; a completed run with it is what the plan was about.
        basis: which run was measured, and how much of the recipe's input it had (JSON values).
        expected: quantity -> expected value, with `low` and `high` where the measurements spread (JSON values).
        stages: the same by stage, in order.
        notes: what is not in it, and what was assumed.
    """

    plan_id: str
    created_at: str
    recipe_name: str
    recipe_digest: str
    basis: Mapping[str, Any]
    expected: Mapping[str, Any]
    stages: tuple[Mapping[str, Any], ...]
    notes: tuple[str, ...] = ()
    environment: Mapping[str, Any] = field(default_factory=dict)
    version: int = _PLAN_VERSION

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "stages": list(self.stages), "notes": list(self.notes)}

    @classmethod
    def from_json(cls, value: Any) -> Self:
        if not isinstance(value, dict) or value.get("version") != _PLAN_VERSION:
            raise ValueError(f"not a plan of version {_PLAN_VERSION}")
        return cls(**{**value, "stages": tuple(value["stages"]), "notes": tuple(value["notes"])})


def new_plan_id(recipe_name: str, now: datetime) -> str:
    """A name that sorts by time."""
    return f"{recipe_name}-{now:%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"


def save_plan(store: Store, plan: Plan) -> None:
    body = json.dumps(plan.as_json(), indent=1, sort_keys=True, allow_nan=False)
    store.publish_bytes(f"{_FOLDER}/{plan.plan_id}.json", body.encode())


def list_plans(store: Store, recipe_digest: str) -> list[Plan]:
    """The readable plans of a recipe, oldest first."""
    plans = []
    for name in store.names(_FOLDER):
        try:
            plan = Plan.from_json(json.loads(store.read_bytes(f"{_FOLDER}/{name}")))
        except (ValueError, KeyError, TypeError):
            continue  # not ours, or of another version: nothing depends on it
        if plan.recipe_digest == recipe_digest:
            plans.append(plan)
    return sorted(plans, key=lambda plan: (plan.created_at, plan.plan_id))
