"""Which parameters make a stage's key."""

from dataclasses import dataclass, field

from storage.parameters import SHAPES_NOTHING, shaping_parameters


@dataclass(frozen=True)
class Inner:
    depth: int = 1
    speed: float = field(default=2.0, metadata=SHAPES_NOTHING)


@dataclass(frozen=True)
class Outer:
    inner: Inner = Inner()
    names: tuple[str, ...] = ("a",)
    contact: str = field(default="", metadata=SHAPES_NOTHING)


def test_what_shapes_nothing_is_left_out_at_any_depth():
    assert shaping_parameters(Outer(contact="me@example.org")) == {"inner": {"depth": 1}, "names": ("a",)}
    assert shaping_parameters(Outer(Inner(speed=9.0))) == shaping_parameters(Outer())
    assert shaping_parameters(Outer(Inner(depth=2))) != shaping_parameters(Outer())


def test_no_parameters_are_an_empty_object():
    assert shaping_parameters(None) == {}
