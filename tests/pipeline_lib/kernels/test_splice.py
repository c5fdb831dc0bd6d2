import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline_lib.kernels.arrow import string_buffers, string_column
from pipeline_lib.kernels.splice import splice

characters = st.characters(codec="utf-8") | st.sampled_from("aé猫𝒳\x00\u0301\n")


@st.composite
def edited_documents(draw: st.DrawFn) -> tuple[str, list[tuple[int, int, str]]]:
    """A text and its edits, in characters: ordered, not overlapping, perhaps empty or touching."""
    text = draw(st.text(characters, max_size=20))
    cuts = sorted(draw(st.lists(st.integers(0, len(text)), max_size=8)))
    pairs = zip(cuts[::2], cuts[1::2], strict=False)
    return text, [(start, end, draw(st.text(characters, max_size=4))) for start, end in pairs]


def sliced(text: str, edits: list[tuple[int, int, str]]) -> str:
    for start, end, replacement in reversed(edits):
        text = text[:start] + replacement + text[end:]
    return text


@settings(deadline=None)  # the first example compiles
@given(st.lists(edited_documents(), max_size=5))
def test_splicing_is_slicing_from_the_last_edit_to_the_first(
    documents: list[tuple[str, list[tuple[int, int, str]]]],
) -> None:
    column = pa.array(["cut off", *(text for text, _ in documents)], pa.large_string()).slice(1)
    starts, ends, replacements, counts = [], [], [], [0]
    for text, edits in documents:
        for start, end, replacement in edits:
            starts.append(len(text[:start].encode()))
            ends.append(len(text[:end].encode()))
            replacements.append(replacement)
        counts.append(len(starts))
    spliced = splice(
        *string_buffers(column),
        np.array(counts, np.int64),
        np.array(starts, np.int64),
        np.array(ends, np.int64),
        *string_buffers(pa.array(replacements, pa.large_string())),
    )
    result = string_column(*spliced)
    result.validate(full=True)
    assert result.to_pylist() == [sliced(text, edits) for text, edits in documents]
