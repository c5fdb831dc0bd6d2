"""Pages read by other processes: whatever one page does, the others do not notice."""

import gzip
import json
import os
import signal
import subprocess
import sys
import threading
import time

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline_lib.extract.page_frames import FrameBuffer, Page, packed
from pipeline_lib.extract.page_reading import read_page
from pipeline_lib.extract.page_workers import PageWorkers, thread_workers
from pipeline_lib.extract.parameters import ExtractParameters

TEXT = "The mill stands at the river and grinds what the farmers bring. " * 5
NESTED = b"<div>" * 200_000
BIG = b"<html><body>" + b"<p>Wheat, <b>rye</b> and <i>barley</i> are ground here, day and night.</p>" * 40_000


@pytest.fixture(scope="module")
def workers():
    """One page worker with the defaults, for tests that need no other: it takes seconds to start."""
    with PageWorkers(ExtractParameters()) as started:
        yield started


def page(number=0, body=None, **options):
    body = f"<html><title>Page {number}</title><p>{TEXT} {number}</p></html>".encode() if body is None else body
    return Page(kind="response", body=body, mime="text/html", **options)


def small_pages(count):
    return [page(number) for number in range(count)]


def read_all(workers, pages):
    return [answer for _, answer in workers.answers((number, each) for number, each in enumerate(pages))]


def test_answers_are_those_of_reading_in_process_in_order_for_any_number_of_workers():
    parameters = ExtractParameters()
    pages = [
        *small_pages(40),
        page(body=b""),
        Page(kind="response", body=b"%PDF"),
        page(body=gzip.compress(BIG[:90_000]), headers={"content-encoding": "gzip"}),
        Page(kind="text", body="Müller, Straße. ".encode() * 30, title="A text"),
        Page(kind="html_file", body=b"<link rel=canonical href=https://a.example/x><p>" + TEXT.encode()),
        *small_pages(40),
    ]
    expected = [read_page(each, parameters) for each in pages]
    for num_workers in (1, 3):
        with PageWorkers(parameters, num_workers) as workers:
            assert read_all(workers, pages) == expected
            assert read_all(workers, pages[-3:]) == expected[-3:]


def test_items_without_a_page_keep_their_place(workers):
    items = [("a", None), ("b", page(1)), ("c", None), ("d", page(2)), ("e", None)]
    answers = list(workers.answers(items))
    assert [tag for tag, _ in answers] == list("abcde")
    assert [answer.title if answer else None for _, answer in answers] == [None, "Page 1", None, "Page 2", None]


def test_elements_nested_200_000_deep_cost_one_page():
    parameters = ExtractParameters(max_depth=None, max_page_seconds=1.0, extractor="resiliparse")
    pages = [*small_pages(3), page(body=NESTED), *small_pages(3)]
    with PageWorkers(parameters) as workers:
        reasons = [answer.reason for answer in read_all(workers, pages)]
    assert reasons == [None] * 3 + ["over_time_budget"] + [None] * 3


def test_the_check_before_parsing_spares_the_worker(workers):
    read_all(workers, [page()])
    before = workers.process_ids()
    assert [answer.reason for answer in read_all(workers, [page(body=NESTED), page()])] == ["too_deeply_nested", None]
    assert workers.process_ids() == before


def test_an_ordinary_page_that_takes_longer_than_a_tiny_budget_is_rejected_alone():
    parameters = ExtractParameters(max_page_seconds=0.05, extractor="resiliparse")
    with PageWorkers(parameters) as workers:
        reasons = [answer.reason for answer in read_all(workers, [page(1), page(body=BIG), page(2)])]
    assert reasons == [None, "over_time_budget", None]


def test_a_decompression_bomb_is_not_inflated(workers):
    bomb = page(body=gzip.compress(bytes(200 << 20), 1), headers={"content-encoding": "gzip"})
    assert [answer.reason for answer in read_all(workers, [page(), bomb, page()])] == [None, "body_too_large", None]


def test_a_page_that_needs_more_memory_than_its_budget_is_rejected_alone():
    parameters = ExtractParameters(max_body_bytes=3 << 30, max_page_bytes=3 << 30, max_page_memory_bytes=600 << 20)
    bomb = page(body=gzip.compress(bytes(1 << 30), 1), headers={"content-encoding": "gzip"})
    with PageWorkers(parameters) as workers:
        reasons = [answer.reason for answer in read_all(workers, [page(1), bomb, page(2)])]
    assert reasons == [None, "over_memory_budget", None]


def test_a_worker_killed_from_outside_costs_nothing(workers):
    expected = [read_page(each, workers.parameters) for each in small_pages(60)]
    killed = set()

    def items():
        for number, each in enumerate(small_pages(60)):
            if number in (20, 40):
                killed.update(workers.process_ids())
                for process_id in workers.process_ids():
                    os.kill(process_id, signal.SIGKILL)
            yield number, each

    read_all(workers, [page()])
    assert [answer for _, answer in workers.answers(items())] == expected
    assert killed


def test_a_page_whose_worker_is_killed_twice_is_given_up():
    parameters = ExtractParameters(max_depth=None, extractor="resiliparse")
    with PageWorkers(parameters) as workers:
        read_all(workers, [page()])  # the worker is ready
        killed = set()

        def kill_two():
            while len(killed) < 2:
                for process_id in set(workers.process_ids()) - killed:
                    killed.add(process_id)
                    os.kill(process_id, signal.SIGKILL)
                time.sleep(0.01)

        killer = threading.Thread(target=kill_two)

        def items():
            yield 0, page(body=NESTED)
            killer.start()
            yield 1, page(1)

        reasons = [answer.reason for _, answer in workers.answers(items())]
        killer.join()
    assert reasons == ["extractor_crashed", None]


def test_what_the_source_raises_comes_after_the_answers_before_it(workers):
    def items():
        yield 0, page(0)
        yield 1, page(1)
        raise ConnectionResetError("gone")

    found = []
    answers = workers.answers(items())
    with pytest.raises(ConnectionResetError):
        found.extend(answer.title for _, answer in answers)
    assert found == ["Page 0", "Page 1"]
    assert [answer.title for answer in read_all(workers, small_pages(2))] == ["Page 0", "Page 1"]


def test_answers_that_nobody_takes_do_not_come_later(workers):
    answers = workers.answers((number, each) for number, each in enumerate(small_pages(30)))
    next(answers)
    answers.close()
    assert [answer.title for answer in read_all(workers, [page(7)])] == ["Page 7"]


def test_a_thread_keeps_its_worker_while_the_parameters_stay_the_same():
    parameters = ExtractParameters()
    workers = thread_workers(parameters)
    try:
        read_all(workers, [page()])
        [process_id] = workers.process_ids()
        assert thread_workers(ExtractParameters()) is workers
        assert workers.process_ids() == [process_id]
        assert thread_workers(ExtractParameters(max_depth=100)) is not workers
        assert not psutil.pid_exists(process_id)
    finally:
        thread_workers(ExtractParameters(max_depth=100)).close()


PARENT = """
import json, sys
from pipeline_lib.extract.page_frames import Page
from pipeline_lib.extract.page_workers import thread_workers
from pipeline_lib.extract.parameters import ExtractParameters

workers = thread_workers(ExtractParameters(max_depth=None, max_page_seconds=300.0, extractor="resiliparse"))
page = Page(kind="response", body=b"<p>Some words.</p>", mime="text/html")
list(workers.answers([(0, page)]))
print(json.dumps(workers.process_ids()), flush=True)
if sys.argv[1] == "spin":
    list(workers.answers([(0, Page(kind="response", body=b"<div>" * 200_000, mime="text/html"))]))
"""


def worker_of(parent):
    [process_id] = json.loads(parent.stdout.readline())
    return psutil.Process(process_id)


def test_a_worker_in_the_middle_of_a_page_does_not_outlive_a_killed_parent():
    with subprocess.Popen([sys.executable, "-c", PARENT, "spin"], stdout=subprocess.PIPE) as parent:
        worker = worker_of(parent)
        parent.kill()
        parent.wait()
        assert is_gone(worker)


def test_no_worker_is_left_after_an_ordinary_end():
    with subprocess.Popen([sys.executable, "-c", PARENT, "end"], stdout=subprocess.PIPE) as parent:
        worker = worker_of(parent)
        assert parent.wait(60) == 0
        assert is_gone(worker)


def is_gone(worker):
    try:
        worker.wait(20)
    except psutil.TimeoutExpired:
        # in a container without an init, nobody collects what a killed parent leaves
        return worker.status() == psutil.STATUS_ZOMBIE
    return True


@given(
    st.lists(st.tuples(st.dictionaries(st.text(max_size=9), st.integers(-9, 9), max_size=3), st.binary(max_size=300))),
    st.integers(1, 50),
)
def test_frames_arrive_as_they_were_sent_however_they_are_cut(frames, size):
    sent = b"".join(piece for header, body in frames for piece in packed(header, body))
    buffer = FrameBuffer()
    arrived = []
    for start in range(0, len(sent), size):
        buffer.feed(sent[start : start + size])
        while (frame := buffer.pop()) is not None:
            arrived.append((frame.header, frame.body))
    assert arrived == frames
