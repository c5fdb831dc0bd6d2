"""Progress over files for people, on stderr: a line that changes on a terminal, else one line a file."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext

from rich.console import Console

# Takes the number of the file that is being worked on, and what to say of it, given the seconds since the start.
Tell = Callable[[int, Callable[[float], str]], None]


@contextmanager
def told_by_file(at_first: str) -> Iterator[Tell]:
    """Something to tell progress to. `at_first` stands there until the first is told."""
    console = Console(stderr=True, highlight=False)
    began = time.monotonic()
    told = 0
    with console.status(at_first) if console.is_terminal else nullcontext() as status:

        def tell(file_number: int, line: Callable[[float], str]) -> None:
            nonlocal told
            seconds = max(time.monotonic() - began, 1e-3)
            if status is not None:
                status.update(line(seconds))
            elif file_number > told:
                told = file_number
                console.print(line(seconds), markup=False, soft_wrap=True)

        yield tell
