import unicodedata
from pathlib import Path

import numpy as np
import pytest

from pipeline_lib.kernels.unicode_tables import (
    ASSIGNED,
    END_MARK,
    character_classes,
    classes_of_running_python,
    unicode_version,
    write_tables,
)


def test_frozen_classes_agree_with_this_python_where_its_unicode_had_the_character() -> None:
    frozen = character_classes()
    known = (frozen & ASSIGNED) != 0
    differing = np.flatnonzero(known & (frozen != classes_of_running_python()))
    assert [f"U+{code_point:04X}" for code_point in differing] == []


def test_the_table_says_its_unicode_version() -> None:
    assert unicode_version() == "14.0.0"
    kawi_danda = character_classes()[0x11F43]  # new in Unicode 15, and an end mark in datatrove's list
    assert kawi_danda & END_MARK
    assert not kawi_danda & ASSIGNED


@pytest.mark.skipif(unicodedata.unidata_version != unicode_version(), reason="this Python has another Unicode version")
def test_the_tables_written_anew_are_the_frozen_ones(tmp_path: Path) -> None:
    write_tables(tmp_path / "tables.npz")
    with np.load(tmp_path / "tables.npz") as tables:
        again = tables["blocks"][tables["block_of"]].reshape(-1)
    assert np.array_equal(again, character_classes())
