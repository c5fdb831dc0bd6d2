import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline_lib.kernels.arrow import string_buffers
from pipeline_lib.kernels.lines import line_marks, line_shapes
from pipeline_lib.kernels.unicode_tables import END_MARK, character_classes

SHORT = 5

PIECES = (
    "a line.|a line|short|sechs6|• x|- y|...|…|..|.|?|。|؟|𑅃|猫|Â|â|\u2027|\u0301|\u200b|\x00| |\t|\u00a0"
    "|\n|\n\n|\r|\r\n|\x0b|\x0c|\x1c|\x1d|\x1e|\x1f|\x85|\x85\n|\u2028|\u2029"
)
texts = st.lists(st.sampled_from(PIECES.split("|")) | st.characters(codec="utf-8"), max_size=40).map("".join)


@settings(deadline=None)  # the first example compiles
@given(st.lists(texts, max_size=4))
def test_bullets_and_ellipses_are_found_on_the_lines_of_splitlines(documents: list[str]) -> None:
    column = pa.array(["cut off\n- x...", *documents], pa.large_string()).slice(1)
    found = line_marks(*string_buffers(column))

    for i, text in enumerate(documents):
        lines = text.splitlines()
        assert found.num_lines[i] == len(lines)
        assert found.num_bullet_lines[i] == sum(line.lstrip().startswith(("•", "-")) for line in lines)
        assert found.num_ellipsis_lines[i] == sum(line.rstrip().endswith(("...", "…")) for line in lines)


@settings(deadline=None)  # the first example compiles
@given(st.lists(texts, max_size=4))
def test_shapes_are_those_of_the_lines_between_newlines(documents: list[str]) -> None:
    column = pa.array(["cut off\n", *documents], pa.large_string()).slice(1)
    found = line_shapes(*string_buffers(column), SHORT)

    for i, text in enumerate(documents):
        lines = [line for line in text.split("\n") if line.strip() != ""]
        assert found.num_lines[i] == len(lines)
        assert found.num_end_mark_lines[i] == sum(bool(character_classes()[ord(line[-1])] & END_MARK) for line in lines)
        assert found.num_short_lines[i] == sum(len(line) <= SHORT for line in lines)
        assert found.repeated_chars[i] == sum(len(line) for k, line in enumerate(lines) if line in lines[:k])
        assert found.num_newlines[i] == text.count("\n")
        assert found.num_chars[i] == len(text.replace("\n", ""))
