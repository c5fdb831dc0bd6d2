"""Parts in tasks, and parts that processes share: each is made once, and those of a killed process are taken over."""

import re
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
import shared_stage
from hypothesis import given
from hypothesis import strategies as st
from shared_stage import ADDRESS, session_of

from flows.part_tasks import batch_name, batches, is_worth_retrying
from flows.reuse import standing_of
from storage.accounts import Account
from storage.leases import Leases
from storage.manifests import Part, PartWriter, damage, read_part_record
from storage.schemas import DECISIONS, LOST_SOURCES
from storage.store import Store


@given(st.integers(0, 3000), st.integers(1, 100))
def test_every_part_is_in_one_task_in_order_and_tasks_are_few_and_end_small(num_parts, workers):
    parts = [Part(name=f"part-{number:05d}") for number in range(num_parts)]
    found = batches(parts, workers)
    assert [part for batch in found for part in batch] == parts
    sizes = [len(batch) for batch in found]
    assert sizes == sorted(sizes, reverse=True)
    assert len(found) <= 256 + 20 * workers
    if num_parts:
        assert sizes[-1] == 1
        assert sizes[0] <= max(1, -(-num_parts // min(8 * workers, 256)))


def test_a_thousand_parts_of_two_workers_are_some_thirty_tasks_with_a_name_each():
    found = batches([Part(name=f"part-{number:05d}") for number in range(1000)], 2)
    assert 16 <= len(found) <= 40
    assert batch_name(found[0]) == "part-00000..part-00062"
    assert batch_name(found[-1]) == "part-00999"


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (OSError(5, "Input/output error"), True),
        (OSError(28, "No space left on device"), False),
        (FileNotFoundError(2, "gone"), False),
        (ValueError("wrong"), False),
        (TimeoutError(), True),
    ],
)
def test_what_another_try_may_mend_is_tried_again(error, expected):
    assert is_worth_retrying(error) == expected


def start(url: str, run: str, marks: Path, *more: str) -> "subprocess.Popen[str]":
    command = [sys.executable, shared_stage.__file__, url, run, str(marks), *more]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.fixture(params=["folder", "s3"])
def url(request, tmp_path) -> str:
    return str(tmp_path / "store") if request.param == "folder" else request.getfixturevalue("s3_url")


def made(marks: Path) -> Counter[str]:
    return Counter(line.split()[1] for line in marks.read_text().splitlines()) if marks.exists() else Counter()


def test_processes_that_begin_together_make_every_part_once_and_have_the_same_records(url, tmp_path):
    marks = tmp_path / "marks"
    both = [start(url, run, marks, "40") for run in ("first", "second")]
    outputs = []
    for process in both:
        out, err = process.communicate(timeout=250)
        assert process.returncode == 0, err
        outputs.append(sorted(out.splitlines()))
    assert outputs[0] == outputs[1]
    assert made(marks) == {f"part-{number:05d}": 1 for number in range(40)}
    assert Store(url).names("leases") == []


@pytest.mark.chaos
def test_of_a_killed_process_the_other_takes_over_the_part_at_once(url, tmp_path):
    marks = tmp_path / "marks"
    first = start(url, "first", marks, "4", "part-00000")
    while not made(marks):
        assert first.poll() is None, first.communicate()
        time.sleep(0.05)
    second = start(url, "second", marks, "4")
    for expected in ("part-00001", "part-00002", "part-00003"):
        assert second.stdout.readline().startswith(expected)
    waits = second.stderr.readline()
    assert re.match(rf"shared: waits for part-00000, which run first \(host \S+, pid {first.pid}\) is making", waits)
    first.kill()
    first.communicate()
    killed_at = time.monotonic()
    out, err = second.communicate(timeout=250)
    assert second.returncode == 0, err
    assert out.startswith("part-00000 ")
    assert time.monotonic() - killed_at < 20  # a lease lasts 30 s, but its holder is known to be gone
    assert made(marks) == {"part-00000": 2, "part-00001": 1, "part-00002": 1, "part-00003": 1}


def lossy_part(store: Store) -> None:
    writer = PartWriter(store=store, address=ADDRESS, part="part-00000")
    writer.table("decisions", DECISIONS.empty_table(), DECISIONS)
    writer.table("lost", LOST_SOURCES.empty_table(), LOST_SOURCES)
    writer.commit(Account(documents_in=0, documents_out=0), {})


def test_what_was_lost_is_tried_again_unless_a_living_run_uses_the_stage(tmp_path, capsys):
    store = Store(str(tmp_path))
    lossy_part(store)
    user = Leases(store=store, run="user")
    lease = user.acquire("run-user", uses=[ADDRESS.folder])
    record = read_part_record(store, ADDRESS, "part-00000")

    assert list(standing_of(session_of(str(tmp_path), "second"), ADDRESS).recorded) == ["part-00000"]
    assert damage(store, ADDRESS, record) is None
    assert "is not tried again: run user (host" in capsys.readouterr().err

    user.release(lease)
    third = session_of(str(tmp_path), "third")
    Leases(store=store, run="").forget("run-second")
    assert not standing_of(third, ADDRESS).recorded
    assert store.names(f"{ADDRESS.folder}/decisions") == []
    assert store.names(f"{ADDRESS.folder}/parts") == []


def test_a_warning_outside_of_a_flow_is_said_once(tmp_path, caplog, capsys) -> None:
    session_of(str(tmp_path), "first").warn("something is damaged")
    assert caplog.records == []
    assert capsys.readouterr().err == "warning: something is damaged\n"
