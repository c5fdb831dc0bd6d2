"""Values out of the metrics of other stages: where one is missing, or is not what it was, the page leaves it out."""

import math
from collections.abc import Mapping
from typing import Any


def reading(metrics: Any, *keys: str) -> Any:
    """The value under nested keys, or None."""
    for key in keys:
        if not isinstance(metrics, Mapping) or key not in metrics:
            return None
        metrics = metrics[key]
    return metrics


def number(metrics: Any, *keys: str) -> float | None:
    """The finite number under nested keys, or None."""
    found = reading(metrics, *keys)
    if isinstance(found, bool) or not isinstance(found, int | float) or not math.isfinite(found):
        return None
    return found


def group(metrics: Any, *keys: str) -> Mapping[str, Any]:
    """The mapping under nested keys; empty where there is none."""
    found = reading(metrics, *keys)
    return found if isinstance(found, Mapping) else {}
