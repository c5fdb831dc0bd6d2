"""The process that reads pages: `python -m pipeline_lib.extract.page_worker`, started and watched by `page_workers`.

It takes frames from its standard input, the first being the parameters, and answers each on its standard output, in
order. It ends when its input does, when nothing comes for a while, and when its parent dies.
"""

import contextlib
import ctypes
import math
import os
import resource
import select
import signal
import sys
import time
import traceback
from typing import TYPE_CHECKING

from pipeline_lib.extract.page_frames import Frame, FrameBuffer, Page, PageAnswer, packed_answer, page_of

if TYPE_CHECKING:
    from pipeline_lib.extract.parameters import ExtractParameters

MODULE = __name__ if __name__ != "__main__" else "pipeline_lib.extract.page_worker"
ENDED_IDLE = 80  # the exit code of a worker that nobody asked for anything

_IDLE_SECONDS = 60
_READ_BYTES = 1 << 17  # larger ones are memory that the system has to clear first: five times slower
_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_SPARE_CPU_SECONDS = 2  # the parent looks first; the kernel only if there is no parent that looks
_OVER_MEMORY = "over_memory_budget"
# Through all that the first page would otherwise have to wait for: kernels, the model of languages, each extractor.
_SENTENCES = b"The mill stands at the river, and grinds what the farmers bring. " * 9
_WARM_UP = (
    b"<html><head><title>A page</title></head><body><main><p>" + _SENTENCES + b"</p></main></body></html>",
    b"<html><head><title>A page</title></head><body><nav><p>" + _SENTENCES + b"</p></nav></body></html>",
)


def main(parent: int) -> None:
    _end_with_parent(parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which closes our input
    answers = os.dup(1)
    os.dup2(2, 1)  # what a library prints must not get between the frames

    from pydantic import TypeAdapter

    from pipeline_lib.extract.page_reading import read_page
    from pipeline_lib.extract.parameters import ExtractParameters

    pages = _Frames(0)
    first = pages.next()
    if first is None:
        return
    parameters = TypeAdapter(ExtractParameters).validate_json(first.body)
    for body in _WARM_UP:
        read_page(Page(kind="response", mime="text/html", body=body), parameters)
    read_page(Page(kind="text", body=_SENTENCES), parameters)
    _limit_memory(parameters.max_page_memory_bytes)
    _send(answers, PageAnswer())
    while (frame := pages.next()) is not None:
        began = time.process_time()
        _limit_cpu(began + parameters.max_page_seconds)
        answer = _answer(page_of(frame), parameters)
        del frame
        if time.process_time() - began > parameters.max_page_seconds:
            # it ended before anybody looked; whether somebody looks in time must not decide
            answer = PageAnswer(reason="over_time_budget", num_bytes=answer.num_bytes)
        _send(answers, answer)
        if answer.reason == _OVER_MEMORY:
            return


def _answer(page: Page, parameters: "ExtractParameters") -> PageAnswer:
    from pipeline_lib.extract.page_reading import read_page
    from pipeline_lib.rust_panics import is_rust_panic

    try:
        return read_page(page, parameters)
    except MemoryError:
        return PageAnswer(reason=_OVER_MEMORY)
    except BaseException as error:
        if not isinstance(error, Exception) and not is_rust_panic(error):
            raise
        # Broad: this is the border around one page. What a mistake of ours or of a library does to it is told, and
        # counted, and the next page is read.
        traceback.print_exc()
        return PageAnswer(reason="extractor_crashed")


class _Frames:
    """Frames from a file descriptor."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._buffer = FrameBuffer()

    def next(self) -> Frame | None:
        """The next frame; None at the end of the input."""
        while (frame := self._buffer.pop()) is None:
            if not select.select([self._descriptor], [], [], _IDLE_SECONDS)[0]:
                sys.exit(ENDED_IDLE)
            chunk = os.read(self._descriptor, _READ_BYTES)
            if not chunk:
                return None
            self._buffer.feed(chunk)
        return frame


def _send(descriptor: int, answer: PageAnswer) -> None:
    for piece in packed_answer(answer, cpu_seconds=time.process_time()):
        rest = memoryview(piece)
        while rest:
            rest = rest[os.write(descriptor, rest) :]


def _end_with_parent(parent: int) -> None:
    """Be killed when the thread that started this process ends, however it does (Linux)."""
    if sys.platform != "linux":
        return
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it was gone before we could ask
        sys.exit()


def _limit_cpu(seconds: float) -> None:
    """Have the kernel end this process when it has used so much CPU time in all: also if nobody watches any more."""
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    soft = math.ceil(seconds) + _SPARE_CPU_SECONDS
    if hard == resource.RLIM_INFINITY or soft < hard:
        resource.setrlimit(resource.RLIMIT_CPU, (soft, hard))


def _limit_memory(num_bytes: int) -> None:
    """A last barrier behind the parent's watching of resident memory: address space, of which some is never used."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    if sys.platform != "linux":
        return
    with open("/proc/self/statm", encoding="ascii") as stream:  # noqa: PTH123 (a file of the kernel's)
        mapped = int(stream.read().split()[0]) * resource.getpagesize()
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    soft = mapped + 2 * num_bytes
    if hard == resource.RLIM_INFINITY or soft < hard:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


if __name__ == "__main__":
    with contextlib.suppress(BrokenPipeError):  # nobody reads answers any more
        main(int(sys.argv[1]))
