import unicodedata

import numpy as np

from pipeline_lib.kernels.fold_tables import DIGIT, SEQUENCE, build_fold_tables, fold_tables


def test_the_frozen_tables_are_what_the_code_builds_from_the_same_unicode():
    """A change of the rules without the tables, or of the tables without the rules, must not pass."""
    frozen, built = fold_tables(), build_fold_tables()
    # a newer Python knows characters that the frozen tables do not: compare those that are old
    for character in "aZ9ßéİς٣漢がｶ한ไ\u00ad\u0301☃·€🙂\ufeff":
        code = ord(character)
        assert (frozen.kinds[code], frozen.kinds[code] == SEQUENCE or frozen.folded[code]) == (
            built.kinds[code],
            built.kinds[code] == SEQUENCE or built.folded[code],
        )
    if unicodedata.unidata_version == "14.0.0":
        assert all(np.array_equal(one, other) for one, other in zip(frozen, built, strict=True))


def test_digits_of_every_script_fold_to_those_of_ascii():
    tables = fold_tables()
    assert [chr(tables.folded[ord(digit)]) for digit in "0٣९７"] == ["0", "3", "9", "7"]
    assert {int(tables.kinds[ord(digit)]) for digit in "0٣९７"} == {DIGIT}
