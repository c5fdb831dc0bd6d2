import os

import numpy as np
import pytest

from pipeline_lib.dedup.spill_files import SpillFile
from pipeline_lib.dedup.workers import in_threads


def test_arrays_come_back_from_where_they_were_written_however_little_the_system_takes_at_a_time(tmp_path, monkeypatch):
    pwrite, preadv = os.pwrite, os.preadv
    monkeypatch.setattr(os, "pwrite", lambda file, data, offset: pwrite(file, data[:7], offset))
    monkeypatch.setattr(os, "preadv", lambda file, buffers, offset: preadv(file, [buffers[0][:5]], offset))
    first, second = np.arange(10, dtype=np.uint64), np.arange(100, 106, dtype=np.int32).reshape(2, 3)
    with SpillFile(tmp_path) as file:
        file.write(second, 96)
        file.append(np.zeros(0, np.uint64))
        file.write(first, 8)
        assert file.num_bytes == 120
        found, other = np.empty(10, np.uint64), np.empty((2, 3), np.int32)
        file.read(8, found)
        file.read(96, other)
        assert (found == first).all()
        assert (other == second).all()
        assert (file.map(8 * 4, 7, np.uint64) == first[3:]).all()
        assert len(file.map(120, 0, np.uint64)) == 0
        with pytest.raises(EOFError, match=f"{tmp_path} ends at byte 120"):
            file.read(112, np.empty(2, np.uint64))
        assert list(tmp_path.iterdir()) == []


def test_what_threads_find_comes_in_order_and_an_error_begins_nothing_more():
    assert list(in_threads(lambda item: item * item, range(100))) == [item * item for item in range(100)]
    begun = []

    def work(item):
        begun.append(item)
        if item == 3:
            raise KeyError(item)

    with pytest.raises(KeyError):
        list(in_threads(work, range(10_000)))
    assert len(begun) < 10_000
