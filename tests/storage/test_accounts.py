"""An account that does not balance cannot exist."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.accounts import Account, UnbalancedAccount, add_accounts

counts = st.integers(0, 10**6)
accounts = st.builds(
    lambda out, dropped: Account(documents_in=out + sum(dropped.values()), documents_out=out, dropped=dropped),
    counts,
    st.dictionaries(st.sampled_from(["short", "long", "odd"]), counts),
)


@given(counts, counts, st.dictionaries(st.text(max_size=3), counts, max_size=4))
def test_only_in_equal_to_out_plus_dropped_is_accepted(documents_in, documents_out, dropped):
    balanced = documents_in == documents_out + sum(dropped.values())
    try:
        Account(documents_in=documents_in, documents_out=documents_out, dropped=dropped)
    except UnbalancedAccount:
        assert not balanced
    else:
        assert balanced


@pytest.mark.parametrize(
    ("documents_in", "documents_out", "dropped"), [(-1, -1, {}), (0, 1, {"odd": -1}), (0, -1, {"odd": 1})]
)
def test_counts_below_zero_are_refused_even_where_they_balance(documents_in, documents_out, dropped):
    with pytest.raises(UnbalancedAccount, match="below zero"):
        Account(documents_in=documents_in, documents_out=documents_out, dropped=dropped)


def test_the_refusal_names_the_counts():
    with pytest.raises(UnbalancedAccount, match=r"10 records in, but 7 documents out \+ 2 dropped = 9"):
        Account(documents_in=10, documents_out=7, dropped={"odd": 2}, unit_in="records")


@given(st.lists(accounts, max_size=6))
def test_a_sum_of_accounts_balances_and_keeps_every_reason(parts):
    total = add_accounts(parts)
    assert total.documents_in == sum(part.documents_in for part in parts)
    assert total.documents_out == sum(part.documents_out for part in parts)
    for reason in {reason for part in parts for reason in part.dropped}:
        assert total.dropped[reason] == sum(part.dropped.get(reason, 0) for part in parts)


@given(accounts)
def test_an_account_survives_json(account):
    assert Account.from_json(json.loads(json.dumps(account.as_json()))) == account


def test_an_account_changed_on_disk_is_refused():
    written = Account(documents_in=3, documents_out=2, dropped={"odd": 1}).as_json()
    with pytest.raises(UnbalancedAccount):
        Account.from_json({**written, "documents_out": 3})


def test_accounts_of_different_units_are_not_added():
    files = Account(documents_in=1, documents_out=1, unit_in="files")
    with pytest.raises(ValueError, match="different units"):
        add_accounts([files, Account(documents_in=1, documents_out=1)])
