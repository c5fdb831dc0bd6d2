import re
import unicodedata

import numpy as np
import pytest

from pipeline_lib.kernels.dclm_characters import (
    ALPHANUMERIC,
    DIGIT,
    UPPERCASE,
    dclm_classes,
    ignored_case,
    lower_case,
)
from pipeline_lib.kernels.unicode_tables import ASSIGNED, NUM_CODE_POINTS, unicode_version

same_unicode = pytest.mark.skipif(
    unicodedata.unidata_version != unicode_version(), reason="this Python has another Unicode version than the tables"
)


@same_unicode
@pytest.mark.parametrize(
    ("bit", "method"), [(ALPHANUMERIC, str.isalnum), (UPPERCASE, str.isupper), (DIGIT, str.isdigit)]
)
def test_classes_are_what_python_says(bit: int, method) -> None:  # type: ignore[no-untyped-def] # a method of str
    expected = np.array([method(chr(code_point)) for code_point in range(NUM_CODE_POINTS)])
    np.testing.assert_array_equal(dclm_classes() & bit != 0, expected)


@same_unicode
def test_lower_case_is_pythons_where_that_is_one_character() -> None:
    lowered = [chr(code_point).lower() for code_point in range(NUM_CODE_POINTS)]
    expected = [ord(low) if len(low) == 1 else code_point for code_point, low in enumerate(lowered)]
    np.testing.assert_array_equal(lower_case(), expected)


def test_lower_case_makes_no_letter_of_a_mark_nor_a_mark_of_a_letter() -> None:
    is_alphanumeric = dclm_classes() & ALPHANUMERIC != 0
    np.testing.assert_array_equal(is_alphanumeric, is_alphanumeric[lower_case()])


@same_unicode
def test_case_is_ignored_as_re_ignores_it() -> None:
    classes, folded = dclm_classes(), ignored_case()
    everything = "".join(chr(c) for c in range(NUM_CODE_POINTS) if classes[c] & ASSIGNED and not 0xD800 <= c < 0xE000)
    for letter in "abcdefghijklmnopqrstuvwxyzåäöéñçжщыεω":
        matched = set(re.findall(letter, everything, re.IGNORECASE))
        assert matched == {chr(c) for c in np.flatnonzero(folded == folded[ord(letter)]) if classes[c] & ASSIGNED}
