"""Which parameters of a stage shape its output, and so belong into its key.

A field of a parameter dataclass that only says how the work is done, such as how many requests a second, is declared
with `field(default=..., metadata=SHAPES_NOTHING)`: another value of it makes no other output, and finds the old one.
"""

from collections.abc import Mapping
from dataclasses import asdict, fields, is_dataclass
from typing import Any, Final

SHAPES_NOTHING: Final[Mapping[str, bool]] = {"shapes_output": False}


def shaping_parameters(parameters: Any) -> dict[str, Any]:
    """The parameters as JSON values, without the fields, at any depth, that shape nothing.

    Args:
        parameters: a dataclass, or None where a stage has none.
    """
    if parameters is None:
        return {}
    shaping: dict[str, Any] = asdict(parameters)
    for field in fields(parameters):
        value = getattr(parameters, field.name)
        if not field.metadata.get("shapes_output", True):
            del shaping[field.name]
        elif is_dataclass(value):
            shaping[field.name] = shaping_parameters(value)
    return shaping
