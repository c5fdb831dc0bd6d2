"""What a person at the terminal sees of a run: bars on a terminal, plain lines elsewhere, always on stderr."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from storage.accounts import Account

Reached = Callable[[str, int, int, str], None]  # the stage, steps done, of how many, a note


class RunProgress:
    """Progress of one run, stage by stage; methods may be called from any thread.

    `reached` hears how far each stage is, whatever is or is not shown at the terminal.
    """

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(stderr=True, highlight=False)
        self.reached: Reached | None = None
        self._bars: Progress | None = None
        if self.console.is_terminal:
            self._bars = Progress(
                TextColumn("{task.description:<16}"),
                BarColumn(bar_width=30),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                TextColumn("{task.fields[note]}"),
                console=self.console,
                transient=True,
            )

    def __enter__(self) -> Self:
        if self._bars is not None:
            self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._bars is not None:
            self._bars.stop()

    def say(self, message: str) -> None:
        self.console.print(message, markup=False, soft_wrap=True)

    @contextmanager
    def stage(self, name: str, total: int, *, is_certain: bool = True) -> Iterator["StageProgress"]:
        """Progress of a stage that is done after `total` steps.

        Args:
            is_certain: there will be such steps; else `reached` hears nothing before the first of them.
        """
        if self.reached is not None and is_certain:
            self.reached(name, 0, total, "")
        bar = self._bars.add_task(name, total=total, note="") if self._bars is not None else None
        try:
            yield StageProgress(progress=self, bars=self._bars, bar=bar, name=name, total=total)
        finally:
            if self._bars is not None and bar is not None:
                self._bars.remove_task(bar)

    def finished(self, name: str, account: Account, seconds: float, reused: bool, note: str = "") -> None:
        """One line that stays."""
        how = "cached" if reused else f"{seconds:6.1f} s"
        dropped = account.documents_in - account.documents_out
        lost = f", {dropped:,} dropped" if dropped else ""
        self.say(
            f"{name:<16} {how:>9}  {account.documents_in:,} {account.unit_in} -> "
            f"{account.documents_out:,} {account.unit_out}{lost}{note and f', {note}'}"
        )


@dataclass(kw_only=True)
class StageProgress:
    """Handle to advance one stage's bar; off a terminal it prints a line about every tenth of the way."""

    progress: RunProgress
    bars: Progress | None
    bar: TaskID | None
    name: str
    total: int
    done: int = 0

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._next_line = 0.1

    def advance(self, note: str = "") -> None:
        self.reach(self.done + 1, note)

    def reach(self, done: int, note: str = "") -> None:
        with self._lock:
            self.done = done
            if self.bars is not None and self.bar is not None:
                self.bars.update(self.bar, completed=done, note=note)
            elif self.total >= 20 and done >= self._next_line * self.total and done < self.total:
                self._next_line = done / self.total + 0.1
                self.progress.say(f"{self.name:<16} {done:,} of {self.total:,}  {note}")
        if self.progress.reached is not None:
            self.progress.reached(self.name, done, self.total, note)
