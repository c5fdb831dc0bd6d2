"""Filters: what passes is what a person would pick by hand, and every choice gives as many as stands beside it."""

from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline_lib.browse.documents import ORDERS
from pipeline_lib.browse.selection import Filters, NoSuchChoice, names_like, search, select

FATES = ["", "kept", "dropped", "judge", "dedup", "kept:train", "kept:validation", "dedup:near_duplicate"]
CHOSEN = st.builds(
    Filters,
    fate=st.sampled_from(FATES),
    host=st.sampled_from(["", "numpy.docs.invalid", "tiny.docs.invalid", "nowhere.invalid"]),
    language=st.sampled_from(["", "en", "ja"]),
    file=st.sampled_from(["", "part-00001.warc.gz"]),
    edited=st.sampled_from(["", "any", "signals:c4.too_few_words"]),
)


def passes(table, position: int, filters: Filters) -> bool:
    """The oracle: one document at a time, by its names."""
    fate = table.fate_of(position)
    named = {
        "host": table.hosts.names[int(table.hosts.codes[position])].as_py(),
        "language": table.languages.names[int(table.languages.codes[position])].as_py(),
        "file": table.files.names[int(table.files.codes[position])].as_py(),
    }
    fates = {"", fate.key, fate.key.partition(":")[0], "kept" if fate.kept else "dropped"}
    edits = {"", "any", "signals:c4.too_few_words"} if table.edited[position] else {""}
    return (
        filters.fate in fates
        and filters.edited in edits
        and all(getattr(filters, name) in ("", value) for name, value in named.items())
    )


@given(filters=CHOSEN, order=st.sampled_from(ORDERS))
def test_what_passes_is_what_a_person_would_pick(table, filters, order):
    picked = {position for position in range(len(table)) if passes(table, position, filters)}
    chosen = select(table, filters, order).positions.tolist()
    assert len(chosen) == len(picked)
    assert set(chosen) == picked
    if order == "source":
        assert chosen == sorted(chosen)
    elif order == "mixed":
        assert chosen == sorted(chosen, key=table.doc_id)
    else:
        assert chosen == sorted(chosen, key=lambda each: (table.hosts.codes[each], each))


@given(filters=CHOSEN)
def test_each_choice_gives_as_many_documents_as_stands_beside_it(table, filters):
    for name, choices in select(table, filters, "source").choices.items():
        for choice in choices:
            taken = replace(filters, **{name: choice.key})
            assert len(select(table, taken, "source").positions) == choice.count, (name, choice)
            assert choice.is_chosen == (getattr(filters, name) == choice.key)


def test_the_choices_of_a_filter_without_it_are_all_there_are(table):
    choices = select(table, Filters(), "source").choices
    assert [choice.key for choice in choices["fate"] if choice.depth == 0] == ["kept", "dropped"]
    for name in ("language", "host", "file"):
        assert sum(choice.count for choice in choices[name]) == len(table)
        counts = [choice.count for choice in choices[name]]
        assert counts == sorted(counts, reverse=True)


def test_of_many_names_the_largest_and_the_chosen_one_are_listed(table):
    everyone = select(table, Filters(), "source").choices["host"]
    smallest = everyone[-1].key
    few = select(table, Filters(host=smallest), "source", most_choices=2)
    assert [choice.key for choice in few.choices["host"]] == [everyone[0].key, everyone[1].key, smallest]
    assert few.num_choices["host"] == len(everyone)


@pytest.mark.parametrize("filters", [Filters(fate="judge:no_such_rule"), Filters(edited="lines:no_such")])
def test_a_fate_that_nobody_met_is_refused_with_those_that_there_are(table, filters):
    (name,) = [each.name for each in fields(filters) if getattr(filters, each.name)]
    with pytest.raises(NoSuchChoice, match=rf"{name}=.*there are"):
        select(table, filters, "source")


def test_a_search_finds_titles_and_urls_in_any_case(published, table, browsed_run):
    found = search(published, table, "FUNCTION-7.")
    urls = browsed_run.documents["url"].to_pylist()
    assert found.tolist() == ["function-7." in url for url in urls]
    assert search(published, table, "function 1").tolist() == [
        "function 1" in title for title in browsed_run.documents["title"].to_pylist()
    ]
    both = select(table, Filters(fate="kept"), "source", found=found)
    assert set(both.positions.tolist()) <= set(np.flatnonzero(found).tolist())


def test_names_that_hold_a_text_are_suggested_largest_first(table):
    assert names_like(table.hosts, "DOCS", 2)[0] == select(table, Filters(), "source").choices["host"][0].key
    assert names_like(table.hosts, ".*", 2) == []
