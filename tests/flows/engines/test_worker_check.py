"""Workers that would make other bytes, or do not see the store, are told from those that may work."""

from dataclasses import replace
from pathlib import Path

import pytest

from flows.engines.failures import WrongWorker
from flows.engines.worker_check import Expectations, check_worker, this_installation
from storage.store import Store


@pytest.fixture
def expected(tmp_path: Path) -> Expectations:
    store = Store(str(tmp_path / "store"))
    store.publish_bytes("runs/a-run/run.json", b"{}")
    return Expectations(installation=this_installation(), store_url=store.url, marker="runs/a-run/run.json")


def test_the_same_installation_with_the_store_in_sight_may_work(expected) -> None:
    assert check_worker(expected)
    assert list(Path(expected.store_url).iterdir()) == [Path(expected.store_url) / "runs"]  # and left nothing there


@pytest.mark.parametrize(
    ("difference", "told"),
    [
        ({"python": "3.11.0"}, "where the run has 3.11.0"),
        ({"code": "0" * 64}, "gristmill's code"),
        ({"libraries": (("numba", "0.1"), ("pyarrow", "1.0"))}, r"the run has 0\.1, .*pyarrow .* the run has 1\.0"),
    ],
)
def test_whatever_shapes_bytes_is_compared_and_named(expected, difference: dict[str, object], told: str) -> None:
    other = replace(expected, installation=replace(expected.installation, **difference))
    with pytest.raises(WrongWorker, match=told):
        check_worker(other)


def test_a_folder_of_the_same_name_on_another_host_is_not_the_store(expected, tmp_path: Path) -> None:
    elsewhere = replace(expected, store_url=str(tmp_path / "elsewhere"))
    with pytest.raises(WrongWorker, match=r"elsewhere/runs/a-run/run.json, which the run published, is not there"):
        check_worker(elsewhere)


def test_a_store_that_cannot_be_opened_is_told_with_its_reason(expected) -> None:
    with pytest.raises(WrongWorker, match=r"does not see the store nothing://there: StoreError.*object store such as"):
        check_worker(replace(expected, store_url="nothing://there"))
