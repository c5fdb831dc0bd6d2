"""What workers log and warn comes back to who waits for them, within bounds."""

import logging
import threading
import warnings
from collections.abc import Iterator

import pytest

from flows.part_log import LogLine, call_logged, lines_of, say_again
from flows.runners import Runner

LOGGER = logging.getLogger("somebody.elses")


@pytest.fixture
def processes() -> Iterator[Runner]:
    runner = Runner(name="processes", workers=1)
    yield runner
    runner.close()


def noisy(name: str) -> str:
    LOGGER.info("too quiet for others' loggers")
    logging.getLogger("pipeline_lib.extract").info("ours say more")
    LOGGER.warning("%s came", name)
    warnings.warn(f"{name} is old", stacklevel=1)
    return name.upper()


def failing(name: str) -> None:
    LOGGER.error("%s broke", name)
    raise ValueError(name)


def talkative() -> None:
    for number in range(1_000):
        LOGGER.warning("the same again")
        LOGGER.warning("line %d %s", number, "x" * 10_000)


def with_helper(name: str, meet: threading.Barrier | None = None) -> None:
    def help_out() -> None:
        LOGGER.warning("%s's helper", name)

    if meet is not None:
        meet.wait(timeout=20)
    LOGGER.warning("%s itself", name)
    helper = threading.Thread(target=help_out)
    helper.start()
    helper.join()
    if meet is not None:
        meet.wait(timeout=20)


@pytest.mark.filterwarnings("default")
def test_a_worker_process_brings_back_what_was_logged_and_warned(processes: Runner) -> None:
    logged = processes.call(call_logged, noisy, "miller")
    assert logged.result == "MILLER"
    shown = [(line.level, line.logger, line.text) for line in logged.lines]
    assert shown[:2] == [
        (logging.INFO, "pipeline_lib.extract", "ours say more"),
        (logging.WARNING, "somebody.elses", "miller came"),
    ]
    ((level, logger, text),) = shown[2:]
    assert (level, logger) == (logging.WARNING, "py.warnings")
    assert "UserWarning: miller is old" in text


def test_work_that_fails_brings_its_lines_along(processes: Runner) -> None:
    with pytest.raises(ValueError, match="miller") as failure:
        processes.call(call_logged, failing, "miller")
    assert [line.text for line in lines_of(failure.value)] == ["miller broke"]


def test_a_part_that_talks_without_end_is_kept_short() -> None:
    lines = call_logged(talkative).lines
    assert len(lines) == 51
    assert (lines[0].text, lines[0].times) == ("the same again", 1_000)
    assert max(len(line.text) for line in lines) <= 2_000
    assert "951 more lines are left out" in lines[-1].text


def test_parts_in_threads_hear_themselves_and_not_each_other() -> None:
    meet, found = threading.Barrier(2), {}
    threads = [
        threading.Thread(target=lambda name=name: found.update({name: call_logged(with_helper, name, meet)}))
        for name in ("one", "two")
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # nobody can tell whose a helper is while there are two
    assert {name: [line.text for line in logged.lines] for name, logged in found.items()} == {
        "one": ["one itself"],
        "two": ["two itself"],
    }
    assert [line.text for line in call_logged(with_helper, "three").lines] == ["three itself", "three's helper"]


def test_loggers_are_as_they_were_afterwards() -> None:
    before = (logging.getLogger().handlers[:], logging.getLogger("pipeline_lib").level, warnings.showwarning)
    with pytest.raises(ValueError, match="miller"):
        call_logged(failing, "miller")
    assert (logging.getLogger().handlers, logging.getLogger("pipeline_lib").level, warnings.showwarning) == before


def test_a_message_that_does_not_fit_its_arguments_ends_no_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logging, "raiseExceptions", False)
    logged = call_logged(lambda: LOGGER.warning("%d of %d", 1))
    assert logged.lines == ()


def test_lines_are_said_again_with_the_parts_name(caplog: pytest.LogCaptureFixture) -> None:
    lines = (
        LogLine(level=logging.ERROR, logger="trafilatura", text="no tree"),
        LogLine(level=logging.WARNING, logger="py.warnings", text="x is old", times=1_000),
    )
    say_again(lines, "part-00007", logging.getLogger("task"))
    assert [(record.levelno, record.getMessage()) for record in caplog.records] == [
        (logging.ERROR, "part-00007: trafilatura: no tree"),
        (logging.WARNING, "part-00007: py.warnings: x is old (1,000 times)"),
    ]


def test_what_a_page_made_a_library_say_does_not_steer_the_terminal() -> None:
    line = LogLine(level=logging.WARNING, logger="lxml", text="bad \x1b[2Jtag\nand a second line")
    assert line.first_line == "bad ?[2Jtag"
