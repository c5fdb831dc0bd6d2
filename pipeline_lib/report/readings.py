"""Values out of the metrics of other stages: where one is missing, or is not what it was, the page leaves it out."""

from collections.abc import Mapping
from typing import Any

_LARGEST = 1e18  # no count of a run comes near it, and sums of what is smaller stay finite


def reading(metrics: Any, *keys: str) -> Any:
    """The value under nested keys, or None."""
    for key in keys:
        if not isinstance(metrics, Mapping) or key not in metrics:
            return None
        metrics = metrics[key]
    return metrics


def number(metrics: Any, *keys: str) -> float | None:
    """The number under nested keys, or None where there is none that a run can have measured."""
    found = reading(metrics, *keys)
    if isinstance(found, bool) or not isinstance(found, int | float) or not abs(found) <= _LARGEST:
        return None
    return found


def group(metrics: Any, *keys: str) -> Mapping[str, Any]:
    """The mapping under nested keys; empty where there is none."""
    found = reading(metrics, *keys)
    return found if isinstance(found, Mapping) else {}


def counts(metrics: Any, *keys: str) -> list[int]:
    """The list of whole numbers under nested keys; empty where there is none, or anything else in it."""
    found = reading(metrics, *keys)
    if not isinstance(found, list) or any(type(each) is not int or abs(each) > _LARGEST for each in found):
        return []
    return found
