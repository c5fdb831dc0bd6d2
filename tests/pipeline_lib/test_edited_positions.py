"""A byte of an edited text is traced back to the bytes that it was made of."""

from hypothesis import given
from hypothesis import strategies as st

from pipeline_lib.edited_positions import extracted_span


@st.composite
def edited_texts(draw):
    """Steps of edits of ten characters, and the final text as (character, first and end of what it was made of)."""
    text = [(chr(ord("a") + n), n, n + 1) for n in range(10)]
    steps = []
    for _ in range(draw(st.integers(0, 3))):
        bounds = sorted(draw(st.lists(st.integers(0, len(text)), max_size=6, unique=True)))
        edits, after, reached = [], [], 0
        for start, end in zip(bounds[::2], bounds[1::2], strict=False):
            written = draw(st.text("XYZ", max_size=3))
            edits.append((start, end, len(written)))
            origin = (text[start][1], text[end - 1][2])
            after += text[reached:start] + [(letter, *origin) for letter in written]
            reached = end
        text = after + text[reached:]
        steps.append(edits)
    return steps, text


@given(edited_texts())
def test_every_byte_comes_from_what_the_edits_made_it_of(made):
    steps, text = made
    for position, (_, first, end) in enumerate(text):
        assert extracted_span((position, position + 1), steps) == (first, end)


@given(edited_texts(), st.data())
def test_a_span_begins_where_its_first_byte_did_and_ends_where_its_last(made, data):
    steps, text = made
    if text:
        start = data.draw(st.integers(0, len(text) - 1))
        end = data.draw(st.integers(start + 1, len(text)))
        assert extracted_span((start, end), steps) == (text[start][1], text[end - 1][2])


def test_an_empty_span_stays_empty():
    assert extracted_span((5, 5), [[(0, 3, 0)]]) == (8, 8)
    assert extracted_span((0, 0), []) == (0, 0)
