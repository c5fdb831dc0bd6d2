"""Two texts word by word: what they have in common, and what only one of them has.

The shortest way from one to the other (Myers 1986, "An O(N*D) Difference Algorithm and Its Variations"), found within a
bound: near-duplicates differ in few words, and texts that differ in more are not better understood by marking them all.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

_TOKENS = re.compile(r"\s+|\S+")
_MAX_EDITS = 800
_MAX_STEPS = 2_000_000  # of the search: two seconds of the slowest text


@dataclass(frozen=True, kw_only=True)
class Stretch:
    """Text that both have (`left == right`), or that stands at the same place in only one, or differs."""

    left: str
    right: str
    is_same: bool


def differences(left: str, right: str) -> list[Stretch]:
    """The texts as stretches in order: the `left`s together are the left text, the `right`s the right one."""
    ours, theirs = _TOKENS.findall(left), _TOKENS.findall(right)
    shorter = min(len(ours), len(theirs))
    begin = next((at for at in range(shorter) if ours[at] != theirs[at]), shorter)
    shorter -= begin
    end = next((at for at in range(shorter) if ours[-1 - at] != theirs[-1 - at]), shorter)
    middle = _middle(ours[begin : len(ours) - end], theirs[begin : len(theirs) - end])
    found = [(ours[:begin], ours[:begin]), *middle, (ours[len(ours) - end :], theirs[len(theirs) - end :])]
    stretches: list[Stretch] = []
    for of_left, of_right in found:
        pair = "".join(of_left), "".join(of_right)
        same = pair[0] == pair[1]
        if not any(pair):
            continue
        if stretches and stretches[-1].is_same == same:
            last = stretches.pop()
            pair = last.left + pair[0], last.right + pair[1]
        stretches.append(Stretch(left=pair[0], right=pair[1], is_same=same))
    return stretches


Tokens = Sequence[str]


def _middle(left: Tokens, right: Tokens) -> list[tuple[Tokens, Tokens]]:
    """Runs of both, equal or not. One run that differs where the search would take too long."""
    if not left or not right:
        return [(left, right)]
    trace = _search(left, right)
    if trace is None:
        return [(left, right)]
    pairs: list[tuple[int, int]] = []  # equal tokens, last first
    x, y = len(left), len(right)
    for edits in range(len(trace) - 1, -1, -1):
        k = x - y
        reached = trace[edits - 1] if edits else {1: 0}
        down = k == -edits or (k != edits and reached[k - 1] < reached[k + 1])
        before = k + 1 if down else k - 1
        x_before = reached[before]
        y_before = x_before - before
        x_start = x_before if down else x_before + 1
        while x > x_start:
            x, y = x - 1, y - 1
            pairs.append((x, y))
        x, y = x_before, y_before
    return _runs(left, right, pairs[::-1])


def _search(left: Tokens, right: Tokens) -> list[dict[int, int]] | None:
    """By number of edits, how far along the left text each diagonal was reached; None: not within the bounds."""
    number: dict[str, int] = {}
    ours = [number.setdefault(token, len(number)) for token in left]
    theirs = [number.setdefault(token, len(number)) for token in right]
    trace: list[dict[int, int]] = []
    reached = {1: 0}
    steps = 0
    for edits in range(min(_MAX_EDITS, len(ours) + len(theirs)) + 1):
        now: dict[int, int] = {}
        for k in range(-edits, edits + 1, 2):
            down = k == -edits or (k != edits and reached[k - 1] < reached[k + 1])
            x = reached[k + 1] if down else reached[k - 1] + 1
            y = x - k
            begin = x
            while x < len(ours) and y < len(theirs) and ours[x] == theirs[y]:
                x, y = x + 1, y + 1
            steps += 1 + x - begin
            now[k] = x
            if x >= len(ours) and y >= len(theirs):
                return [*trace, now]
        if steps > _MAX_STEPS:
            return None
        trace.append(now)
        reached = now
    return None


def _runs(left: Tokens, right: Tokens, equal: Sequence[tuple[int, int]]) -> list[tuple[Tokens, Tokens]]:
    runs: list[tuple[Tokens, Tokens]] = []
    x = y = 0
    at = 0
    while at < len(equal):
        start = at
        while at + 1 < len(equal) and equal[at + 1] == (equal[at][0] + 1, equal[at][1] + 1):
            at += 1
        (from_x, from_y), (to_x, to_y) = equal[start], equal[at]
        runs.append((left[x:from_x], right[y:from_y]))
        runs.append((left[from_x : to_x + 1], right[from_y : to_y + 1]))
        x, y = to_x + 1, to_y + 1
        at += 1
    return [*runs, (left[x:], right[y:])]
