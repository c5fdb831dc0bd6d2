"""The list of what was withdrawn: none of two at once is lost, no damage passed over, all can be taken back."""

import json
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.exclusions import (
    DamagedExclusion,
    Exclusion,
    ExclusionEntry,
    Exclusions,
    entry_path,
    publish_exclusions,
    read_exclusions,
)
from storage.store import Store

DOMAIN, PAGE, FILE = (
    Exclusion("domain", "example.org"),
    Exclusion("url", "example.com/ü"),
    Exclusion("file", "a.warc.gz"),
)


def withdrawal(*exclusions: Exclusion, at: int = 0, reason: str = "") -> ExclusionEntry:
    return ExclusionEntry(
        act="withdraw",
        exclusions=tuple(sorted(exclusions)),
        made_at=f"2026-11-26T10:00:{at:02}.000000+00:00",
        reason=reason,
    )


def restoration(entries: list[ExclusionEntry], *exclusions: Exclusion, at: int = 59) -> ExclusionEntry:
    return ExclusionEntry(
        act="restore",
        exclusions=tuple(sorted(exclusions)),
        made_at=f"2026-11-26T10:00:{at:02}.000000+00:00",
        restores=tuple(entry.name for entry in entries),
    )


def test_entries_come_back_as_they_were_in_the_order_they_were_made(store) -> None:
    second, first = withdrawal(PAGE, FILE, at=2, reason="asked by its author: „bitte“"), withdrawal(DOMAIN, at=1)
    for entry in (second, first, second):
        publish_exclusions(store, entry)
    read = read_exclusions(store)
    assert read.entries == [first, second]
    assert read.in_force == {DOMAIN: (first.name,), FILE: (second.name,), PAGE: (second.name,)}


def test_nothing_is_withdrawn_from_a_store_without_a_list(store) -> None:
    assert read_exclusions(store).in_force == {}
    assert read_exclusions(store).withdrawing == frozenset()


def test_of_many_at_once_none_is_lost(store) -> None:
    entries = [withdrawal(Exclusion("domain", f"{number}.example"), DOMAIN) for number in range(8)]
    together = Barrier(len(entries))

    def publish(entry: ExclusionEntry) -> None:
        together.wait()
        publish_exclusions(store, entry)

    with ThreadPoolExecutor(len(entries)) as pool:
        list(pool.map(publish, entries))
    in_force = read_exclusions(store).in_force
    assert len(in_force) == 9
    assert set(in_force[DOMAIN]) == {entry.name for entry in entries}


def test_a_part_of_an_entry_can_be_taken_back_and_withdrawn_again() -> None:
    both, again = withdrawal(DOMAIN, PAGE), withdrawal(DOMAIN, at=3)
    back = restoration([both], DOMAIN, at=2)
    assert Exclusions([both, back]).in_force == {PAGE: (both.name,)}
    assert Exclusions([both, back, again]).in_force == {DOMAIN: (again.name,), PAGE: (both.name,)}
    assert Exclusions([both, back, again, restoration([again], DOMAIN)]).in_force == {PAGE: (both.name,)}


def test_what_two_withdrew_is_on_the_list_until_both_are_taken_back() -> None:
    one, other = withdrawal(DOMAIN), withdrawal(DOMAIN, PAGE, at=1)
    assert DOMAIN in Exclusions([one, other, restoration([one], DOMAIN)]).in_force
    assert DOMAIN not in Exclusions([one, other, restoration([one, other], DOMAIN)]).in_force


def test_a_run_has_not_applied_what_entries_withdrew_that_it_has_not_seen() -> None:
    seen, unseen, known = withdrawal(DOMAIN), withdrawal(PAGE, DOMAIN, at=1), withdrawal(FILE, at=2)
    exclusions = Exclusions([seen, unseen, known])
    assert exclusions.not_applied([]) == [DOMAIN, FILE, PAGE]
    assert exclusions.not_applied([seen.name, known.name]) == [PAGE]
    assert exclusions.not_applied(exclusions.names) == []


kinds = st.sampled_from(["domain", "file", "url"])
exclusions_of = st.sets(st.builds(Exclusion, kinds, st.sampled_from("abc")), min_size=1, max_size=4)


@given(st.data())
def test_the_list_is_what_a_set_would_be(data: st.DataObject) -> None:
    """Against a plain set to which is added and from which is taken."""
    entries: list[ExclusionEntry] = []
    plain: set[Exclusion] = set()
    for number in range(data.draw(st.integers(0, 8))):
        at = f"2026-11-26T10:00:{number:02}.000000+00:00"
        if plain and data.draw(st.booleans()):
            taken = data.draw(st.sets(st.sampled_from(sorted(plain)), min_size=1))
            in_force = Exclusions(entries).in_force
            names = sorted({name for each in taken for name in in_force[each]})
            entry = ExclusionEntry(act="restore", exclusions=tuple(sorted(taken)), made_at=at, restores=tuple(names))
            plain -= taken
        else:
            added = data.draw(exclusions_of)
            entry = ExclusionEntry(act="withdraw", exclusions=tuple(sorted(added)), made_at=at)
            plain |= added
        entries.append(entry)
    assert set(Exclusions(entries).in_force) == plain
    for entry in entries:
        assert ExclusionEntry.from_json(json.loads(json.dumps(entry.as_json()))) == entry


@pytest.mark.parametrize(
    "damaged",
    [
        b"",
        b"\xff",
        b"[]",
        b'{"version": 1}',
        b"[" * 100_000,
        json.dumps({**withdrawal(DOMAIN).as_json(), "version": 2}).encode(),
        json.dumps(
            {**withdrawal(DOMAIN).as_json(), "domain": ["example.com"]}
        ).encode(),  # another domain than published
        json.dumps({**withdrawal(DOMAIN).as_json(), "domain": []}).encode(),
        json.dumps({**withdrawal(DOMAIN).as_json(), "domain": "example.org"}).encode(),
        json.dumps({**withdrawal(DOMAIN).as_json(), "act": "forgive"}).encode(),
        json.dumps({**withdrawal(DOMAIN).as_json(), "domain": [["example.org"]]}).encode(),
    ],
)
def test_a_damaged_entry_is_named_and_not_passed_over(tmp_path, damaged: bytes) -> None:
    store = Store(str(tmp_path))
    publish_exclusions(store, withdrawal(PAGE))
    path = entry_path(withdrawal(DOMAIN).name)
    store.publish_bytes(path, damaged)
    with pytest.raises(DamagedExclusion, match=rf"{path} is not an entry .*would bring back what it withdrew"):
        read_exclusions(store)


def test_an_entry_that_says_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="names something"):
        withdrawal()
    with pytest.raises(ValueError, match="that restores names the entries"):
        restoration([], DOMAIN)
