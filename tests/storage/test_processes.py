"""Processes: alive, dead, another's pid, another machine's."""

import dataclasses
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.processes import Process, process_of, this_process

hexadecimal = st.text("0123456789abcdef", min_size=4, max_size=4)


@given(hexadecimal, hexadecimal, st.integers(0, 1 << 30), st.integers(0, 1 << 40))
def test_a_mark_stands_for_its_process(machine, boot, pid, started):
    process = Process(machine=machine * 2, boot=boot, space="0000", pid=pid, started=str(started))
    assert process_of(process.mark()) == process


@pytest.mark.parametrize("mark", ["", "1234", "1234-abcd", "0123abcd-1-2", "../../x-1-2", "0123abcd00000000-x-1"])
def test_other_words_stand_for_none(mark):
    assert process_of(mark) is None


def test_this_process_lives_and_another_of_its_pid_does_not():
    mine = this_process()
    assert mine.is_here()
    assert not mine.is_dead()
    assert dataclasses.replace(mine, started="1").is_dead()
    assert dataclasses.replace(mine, pid=(1 << 22) + 1).is_dead()  # above the largest that Linux gives


def test_a_child_is_dead_when_it_has_ended_also_before_its_parent_knows():
    code = "import sys; from storage.processes import *; print(this_process().mark(), flush=True); sys.stdin.read()"
    child = subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    process = process_of(child.stdout.readline().strip())
    assert process is not None
    assert process.pid == child.pid
    assert not process.is_dead()
    child.stdin.close()
    child.stdout.read()  # ends when the process has closed everything
    while not process.is_dead():
        pass
    child.stdout.close()
    assert child.wait() == 0
    assert process.is_dead()


@pytest.mark.parametrize("change", [{"machine": "00000000"}, {"space": "0000"}])
def test_of_another_machine_or_container_nothing_is_known(change):
    elsewhere = dataclasses.replace(this_process(), started="1", **change)
    assert not elsewhere.is_dead()
    assert not elsewhere.is_here()
