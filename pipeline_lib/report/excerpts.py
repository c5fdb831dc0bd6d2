"""Pieces of crawled text, short enough to show and harmless in what surrounds them."""

import re
from difflib import SequenceMatcher

# C0 controls but tab and line break, DEL, C1; bidirectional overrides and isolates, which would turn the page around;
# line and paragraph separators. Each is shown as what it is instead of doing what it does.
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff]")
_BLANK_LINES = re.compile(r"\n[ \t]*(?:\n[ \t]*)+")
_TOKENS = re.compile(r"\s+|\S+")
_LEAD_TOKENS = 24  # words and spaces before the first difference
_CUT = "\u2026"

Segments = tuple[tuple[str, bool], ...]


def visible(text: str) -> str:
    """The text with control characters spelled out and lone surrogates replaced."""
    text = text.encode("utf-8", "replace").decode("utf-8").replace("\r\n", "\n")
    return _CONTROLS.sub(lambda found: f"\u27e8U+{ord(found.group()):04X}\u27e9", text)


def one_line(text: str, max_chars: int) -> str:
    """The text without line breaks, cut in the middle: both ends of a URL say something."""
    if len(text) > 8 * max_chars:
        text = f"{text[: 4 * max_chars]}{_CUT}{text[-4 * max_chars :]}"
    text = re.sub(r"\s+", " ", visible(text)).strip()
    if len(text) <= max_chars:
        return text
    head = max_chars * 2 // 3
    return f"{text[:head]}{_CUT}{text[len(text) - (max_chars - head - 1) :]}"


def excerpt(text: str, max_chars: int) -> str:
    """The beginning of a text, at most one blank line at a time, cut at a space where one is near."""
    beginning = _BLANK_LINES.sub("\n\n", visible(text[: 4 * max_chars].removesuffix("\r"))).strip()
    if len(beginning) <= max_chars:
        return beginning if len(text) <= 4 * max_chars else beginning + _CUT
    cut = beginning[:max_chars]
    space = max(cut.rfind(" "), cut.rfind("\n"))
    return (cut[:space] if space > max_chars * 3 // 4 else cut).rstrip() + _CUT


def differing(left: str, right: str, max_chars: int) -> tuple[Segments, Segments]:
    """Two texts from a little before they first differ, in segments, each with whether the other text has it not.

    Compared word by word within `max_chars` of each text.
    """
    left_tokens, right_tokens = _TOKENS.findall(left), _TOKENS.findall(right)
    shorter = min(len(left_tokens), len(right_tokens))
    first = next((i for i in range(shorter) if left_tokens[i] != right_tokens[i]), shorter)
    same = first == len(left_tokens) == len(right_tokens)
    start = 0 if same else max(0, first - _LEAD_TOKENS)
    left_tokens, left_cut = _window(left_tokens, start, max_chars)
    right_tokens, right_cut = _window(right_tokens, start, max_chars)
    steps = SequenceMatcher(None, left_tokens, right_tokens, autojunk=False).get_opcodes()
    if (left_cut or right_cut) and steps and steps[-1][0] in ("delete", "insert"):
        # nothing stands beside it here because the other text was cut off, not because it ends
        steps[-1] = ("equal", *steps[-1][1:])
    left_segments: list[tuple[str, bool]] = [(_CUT, False)] if start else []
    right_segments = list(left_segments)
    for kind, left_from, left_to, right_from, right_to in steps:
        for segments, piece in (
            (left_segments, "".join(left_tokens[left_from:left_to])),
            (right_segments, "".join(right_tokens[right_from:right_to])),
        ):
            if piece:
                segments.append((visible(piece), kind != "equal" and not piece.isspace()))
    if left_cut:
        left_segments.append((_CUT, False))
    if right_cut:
        right_segments.append((_CUT, False))
    return tuple(left_segments), tuple(right_segments)


def _window(tokens: list[str], start: int, max_chars: int) -> tuple[list[str], bool]:
    """Tokens from `start` that fit, and whether any were left out after them."""
    taken: list[str] = []
    num_chars = 0
    for token in tokens[start:]:
        if num_chars + len(token) > max_chars:
            if not taken:
                taken.append(token[:max_chars])
            return taken, True
        taken.append(_BLANK_LINES.sub("\n\n", token))
        num_chars += len(token)
    return taken, False
