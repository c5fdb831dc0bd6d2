"""What can be reached from what is referred to: the rule by which stage outputs stay or go."""

from collections.abc import Callable, Iterable
from typing import TypeVar

Place = TypeVar("Place")


def reachable(roots: Iterable[Place], refers_to: Callable[[Place], Iterable[Place]]) -> set[Place]:
    """The roots, what they refer to, what that refers to, and so on; each place is asked once."""
    found: set[Place] = set()
    waiting = list(roots)
    while waiting:
        place = waiting.pop()
        if place not in found:
            found.add(place)
            waiting.extend(refers_to(place))
    return found
