"""Counts of many parts, added up a range at a time."""

import tracemalloc
from collections import defaultdict

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pipeline_lib.repeated_lines.counting import COUNT
from pipeline_lib.repeated_lines.merging import add_up

# few scopes, and units enough for several pieces of the least size
runs_of_counts = st.lists(
    st.dictionaries(
        st.tuples(st.integers(1, 3), st.integers(1, 60)), st.tuples(st.integers(0, 9), st.integers(1, 5)), max_size=80
    ),
    max_size=6,
)


def write_run(path, records):
    run = np.array([(*key, *value) for key, value in sorted(records.items())], COUNT)
    run.tofile(path)
    return path


@given(runs_of_counts, st.sampled_from([0, 1 << 30]))
def test_totals_are_those_of_plain_python_however_little_is_in_memory(tmp_path_factory, drawn, memory_bytes):
    folder = tmp_path_factory.mktemp("runs")
    expected, firsts, scopes = defaultdict(int), {}, defaultdict(int)
    runs_of = defaultdict(list)
    paths = []
    for number, units in enumerate(drawn):
        # a scope has as many documents as its most frequent unit, at least
        own = {(scope, 0): (0, max(n for (of, _), (_, n) in units.items() if of == scope)) for scope, _ in units}
        paths.append(write_run(folder / str(number), {**own, **units}))
        for (scope, _), (_, documents) in own.items():
            scopes[scope] += documents
        for key, (first, documents) in units.items():
            expected[key] += documents
            firsts[key] = min(first, firsts.get(key, first))
            runs_of[key].append(number)
    found = []
    for totals in add_up(paths, memory_bytes):
        records = defaultdict(list)
        for run, total in zip(totals.record_runs.tolist(), totals.record_totals.tolist(), strict=True):
            records[total].append(run)
        for at, unit in enumerate(totals.units.tolist()):
            if unit:
                found.append((unit, totals.documents[at], totals.scope_documents[at], totals.firsts[at], records[at]))
    assert found == [
        (unit, expected[scope, unit], scopes[scope], firsts[scope, unit], runs_of[scope, unit])
        for scope, unit in sorted(expected)
    ]


def test_memory_is_bounded_even_where_one_scope_has_everything(tmp_path):
    rng = np.random.default_rng(1)
    num_runs, num_records, memory_bytes = 8, 100_000, 4 << 20
    paths = []
    for number in range(num_runs):
        run = np.zeros(num_records, COUNT)
        run["scope"], run["documents"] = 1, 1
        run["unit"][1:] = np.sort(rng.integers(1, 1 << 63, num_records - 1, np.uint64))
        run.tofile(tmp_path / str(number))
        paths.append(tmp_path / str(number))
    tracemalloc.start()
    total = sum(len(totals.record_runs) for totals in add_up(paths, memory_bytes))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert total == num_runs * num_records
    assert peak < memory_bytes < num_runs * num_records * COUNT.itemsize
