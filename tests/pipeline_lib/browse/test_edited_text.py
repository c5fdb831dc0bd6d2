"""Edits laid over a text: nothing of the text is lost, what is left is what the stages left, addresses are hidden."""

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from published_stages import doc_id, document_row

from pipeline_lib.browse.edited_text import Edit, Piece, Step, lay_edits, text_after
from pipeline_lib.survivors import MisplacedEdit, apply_edits
from storage.schemas import DOCUMENTS, EDITS

RULES = st.sampled_from(["short", "long"])


@st.composite
def edits_of(draw: st.DrawFn, length: int) -> list[Edit]:
    """Edits of an ASCII text of so many bytes."""
    places = sorted(draw(st.lists(st.integers(0, length), max_size=8)))
    pairs = [places[at : at + 2] for at in range(0, len(places) - 1, 2)]
    return [
        Edit(start=start, end=end, replacement=draw(st.sampled_from(["", "+", "++"])), rule=draw(RULES))
        for start, end in pairs
    ]


@st.composite
def edited_texts(draw: st.DrawFn) -> tuple[str, list[Step]]:
    text = draw(st.text("abc ", max_size=20))
    steps, left = [], text
    for stage in draw(st.lists(st.sampled_from(["signals", "lines", "privacy"]), max_size=3)):
        edits = [e for e in draw(edits_of(len(left))) if e.end > e.start or e.replacement]
        steps.append(Step(stage=stage, edits=edits))
        left = spliced(left, edits)
    return text, steps


def spliced(text: str, edits: list[Edit]) -> str:
    """The oracle: from the last edit to the first, so that no position moves."""
    for edit in reversed(edits):
        text = text[: edit.start] + edit.replacement + text[edit.end :]
    return text


@given(edited_texts())
def test_nothing_is_lost_and_what_is_left_is_what_the_steps_leave(made):
    text, steps = made
    left = text
    for step in steps:
        left = spliced(left, list(step.edits))
    pieces = lay_edits(text, steps).pieces
    assert "".join(piece.text for piece in pieces if piece.kind in ("same", "added")) == left
    assert text_after(text, steps) == left
    added = {step.stage for step in steps if any(edit.replacement for edit in step.edits)}
    if not added:  # else a later step may have removed what an earlier one brought
        assert "".join(piece.text for piece in pieces) == text


@given(edited_texts())
def test_what_is_left_is_what_the_stages_read(made):
    text, steps = made
    documents = pa.Table.from_pylist([document_row(0, text=text)], DOCUMENTS)
    for number, step in enumerate(steps):
        rows = [{"doc_id": doc_id(0), "step": number, **vars(edit)} for edit in step.edits]
        documents = apply_edits(documents, pa.Table.from_pylist(rows, EDITS))
    assert text_after(text, steps) == documents["text"][0].as_py()


def test_each_piece_knows_which_rule_of_which_stage_it_owes():
    laid = lay_edits(
        "one two three four",
        [
            Step(stage="signals", edits=[Edit(start=4, end=8, replacement="", rule="c4.short")]),
            # of what is left, `one three four`, over the place where `two` was
            Step(stage="lines", edits=[Edit(start=2, end=6, replacement="X", rule="repeated")]),
        ],
    )
    assert [(piece.text, piece.kind, piece.editor) for piece in laid.pieces] == [
        ("on", "same", None),
        ("e ", "removed", 1),
        ("two ", "removed", 0),
        ("th", "removed", 1),
        ("X", "added", 1),
        ("ree four", "same", None),
    ]
    assert [(editor.stage, editor.rule, editor.removed_bytes) for editor in laid.editors] == [
        ("signals", "c4.short", 4),
        ("lines", "repeated", 4),
    ]


def test_what_was_masked_is_shown_as_replaced_and_never_as_it_was():
    masks = [Edit(start=9, end=20, replacement="email@example.com", rule="email")]
    laid = lay_edits("write to me@mill.org now", [Step(stage="privacy", edits=masks, hides=True)])
    assert laid.pieces[1] == Piece(text="email@example.com", kind="masked", editor=0)
    assert "me@mill" not in "".join(piece.text for piece in laid.pieces)


def test_an_address_in_a_line_that_a_rule_took_out_is_hidden_too():
    text = "write to me@mill.org\nand more"
    private = [Edit(start=9, end=20, replacement="email@example.com", rule="email")]
    cut = [Step(stage="signals", edits=[Edit(start=0, end=21, replacement="", rule="c4.short")])]
    laid = lay_edits(text, cut, private, "privacy")
    assert [(piece.text, piece.kind) for piece in laid.pieces] == [
        ("write to ", "removed"),
        ("email@example.com", "masked"),
        ("\n", "removed"),
        ("and more", "same"),
    ]
    # cut in the middle of the address: one replacement stands for both halves
    cut = [Step(stage="signals", edits=[Edit(start=0, end=12, replacement="", rule="c4.short")])]
    shown = "".join(piece.text for piece in lay_edits(text, cut, private, "privacy").pieces)
    assert shown == "write to email@example.com\nand more"


def test_a_mask_that_a_step_made_is_not_made_twice():
    masks = [Edit(start=9, end=20, replacement="email@example.com", rule="email")]
    laid = lay_edits("write to me@mill.org", [Step(stage="privacy", edits=masks, hides=True)], masks, "privacy")
    assert [piece.text for piece in laid.pieces] == ["write to ", "email@example.com"]
    assert [editor.edits for editor in laid.editors] == [1]


@pytest.mark.parametrize(
    "edits",
    [
        [Edit(start=0, end=9, replacement="", rule="r")],
        [Edit(start=9, end=9, replacement="x", rule="r")],
        [Edit(start=2, end=1, replacement="", rule="r")],
        [Edit(start=0, end=2, replacement="", rule="r"), Edit(start=1, end=3, replacement="", rule="r")],
    ],
)
def test_edits_for_another_text_are_refused(edits):
    with pytest.raises(MisplacedEdit):
        lay_edits("four", [Step(stage="signals", edits=edits)])


def test_a_text_that_is_cut_within_a_character_is_still_text():
    laid = lay_edits("aé", [Step(stage="signals", edits=[Edit(start=2, end=3, replacement="", rule="r")])])
    assert laid.pieces[0].text.startswith("a")
