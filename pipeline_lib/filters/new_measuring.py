"""Whether other filters can be decided from the signals that are stored, and what stands in the way."""

from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from typing import Any

from pipeline_lib.filters.parameters import FilterParameters, signal_parameters
from pipeline_lib.filters.rule_sets import EDITING


def new_measuring(stored: FilterParameters, asked: FilterParameters) -> tuple[str, ...]:
    """The keys of `asked` that want other signals than those measured with `stored`; none: its rules can be decided.

    What is measured and not asked for does no harm, but edits do: rules after them see another text.
    """
    needed = replace(asked, also_measure=())
    names = needed.measured()
    measured = stored.measured()
    missing = tuple(name for name in names if name not in measured)
    if missing:
        by_order = [f"filters.rules ({name} was not measured)" for name in missing if name in asked.rules]
        by_expression = [f"filters.custom ({name} was not measured)" for name in missing if name not in asked.rules]
        return (*by_order, *by_expression)
    there = replace(
        stored,
        rules=tuple(name for name in stored.rules if name in names or name in EDITING),
        also_measure=tuple(name for name in measured if name in names),
        custom=(),
    )
    return tuple(_differences(signal_parameters(there), signal_parameters(needed), "filters"))


def _differences(stored: Any, asked: Any, key: str) -> Iterator[str]:
    order_is_named = False
    for field in fields(asked):
        before, after = getattr(stored, field.name), getattr(asked, field.name)
        if before == after:
            continue
        if field.name in ("rules", "also_measure"):
            if not order_is_named:
                yield f"{key}.rules (the texts that rules see are edited otherwise)"
            order_is_named = True
        elif is_dataclass(after) and is_dataclass(before):
            yield from _differences(before, after, f"{key}.{field.name}")
        else:
            yield f"{key}.{field.name}"
