"""The figures of a set of documents, against plain counting."""

import math
from collections import Counter

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from pipeline_lib.corpus.statistics import MAX_HOSTS, NUM_LENGTH_BINS, describe

rows = st.lists(
    st.fixed_dictionaries(
        {"language": st.sampled_from(["en", "de", "ja"]), "host": st.sampled_from("abc"), "text": st.text(max_size=70)}
    )
)
SCHEMA = pa.schema([("language", pa.string()), ("host", pa.large_string()), ("text", pa.large_string())])


@given(rows)
def test_figures_are_those_of_counting_one_by_one(rows):
    found = describe(pa.Table.from_pylist(rows, schema=SCHEMA))
    assert found["documents"] == len(rows)
    assert found["bytes"] == sum(len(row["text"].encode()) for row in rows)
    assert found["chars"] == sum(len(row["text"]) for row in rows)
    for key, name in [("language", "languages"), ("host", "hosts")]:
        assert {value: each["documents"] for value, each in found[name].items()} == Counter(row[key] for row in rows)
        assert sum(each["bytes"] for each in found[name].values()) == found["bytes"]
    bins = Counter(math.floor(math.log2(len(row["text"]) or 1)) for row in rows)
    assert {place: count for place, count in enumerate(found["length_histogram"]) if count} == bins
    assert len(found["length_histogram"]) == NUM_LENGTH_BINS


def test_hosts_beyond_the_largest_are_counted_together():
    hosts = [f"host{number:03d}" for number in range(MAX_HOSTS + 10) for _ in range(1 + (number < MAX_HOSTS))]
    table = pa.table({"language": ["en"] * len(hosts), "host": hosts, "text": ["four"] * len(hosts)})
    found = describe(table)
    assert list(found["hosts"]) == [f"host{number:03d}" for number in range(MAX_HOSTS)]
    assert found["other_hosts"] == {"hosts": 10, "documents": 10, "bytes": 40}
