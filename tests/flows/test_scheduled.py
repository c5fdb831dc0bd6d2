"""Scheduled runs of a store are at work one at a time, and a limit that nobody holds any more is taken back."""

from collections.abc import Iterator

import pytest
from prefect.client.orchestration import get_client
from prefect.settings import PREFECT_API_URL, temporary_settings

from flows.scheduled import alone_in, store_limit
from storage.store import Store


@pytest.fixture
def store(tmp_path, prefect_server: str) -> Iterator[Store]:
    with temporary_settings({PREFECT_API_URL: prefect_server}):
        yield Store(str(tmp_path / "store"))


def held(store: Store) -> int:
    with get_client(sync_client=True) as client:
        return client.read_global_concurrency_limit_by_name(store_limit(store)).active_slots


def test_the_limit_of_a_store_is_held_while_a_run_is_at_work_and_is_its_own(store, tmp_path) -> None:
    other = Store(str(tmp_path / "other"))
    with alone_in(store):
        assert held(store) == 1
        with alone_in(other):
            assert (held(store), held(other)) == (1, 1)
    assert (held(store), held(other)) == (0, 0)


def test_a_run_that_fails_gives_the_limit_back(store) -> None:
    with pytest.raises(RuntimeError, match="it failed"), alone_in(store):
        raise RuntimeError("it failed")
    assert held(store) == 0


def test_a_limit_that_a_server_forgot_to_give_back_stops_nobody(store) -> None:
    with alone_in(store):
        pass
    with get_client(sync_client=True) as client:
        # as after a restart of a server that keeps leases in memory: taken, and by nobody
        client.increment_concurrency_slots([store_limit(store)], 1, mode="concurrency")
    assert held(store) == 1
    with alone_in(store):  # and not in a day
        assert held(store) == 1
    assert held(store) == 0
