"""Event files as TensorBoard reads them: `tensorboard --logdir STORE/runs` shows every run of a store."""

from collections.abc import Mapping

from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto.event_pb2 import Event
from tensorboardX.proto.summary_pb2 import Summary
from tensorboardX.summary import hparams, text

from flows.tracking.tracker import TrackedRun, Value

FOLDER = "tensorboard"


class TensorBoardFiles:
    """One event file of a run. The writer is the plain one: tensorboardX's other one hides errors in a thread."""

    def __init__(self, run: TrackedRun) -> None:
        folder = run.folder / FOLDER
        folder.mkdir(parents=True, exist_ok=True)
        self._parameters = {name: _shown(value) for name, value in run.parameters.items()}
        self._facts = dict(run.facts)
        self._writer = EventsWriter(str(folder / "events"))
        self._last_seconds = 0.0
        self._add(text("recipe", _table(self._parameters)), step=0, seconds=0.0)

    def log(self, metrics: Mapping[str, float], step: int, seconds: float) -> None:
        values = [Summary.Value(tag=name, simple_value=value) for name, value in metrics.items()]
        self._add(Summary(value=values), step, seconds)

    def note(self, facts: Mapping[str, str]) -> None:
        self._facts.update(facts)
        self._add(text("run", _table(self._facts)), step=0, seconds=self._last_seconds)

    def flush(self) -> None:
        self._writer.flush()

    def close(self, scores: Mapping[str, float], status: str) -> None:
        self.note({"status": status})
        self.log({f"scores/{name}": value for name, value in scores.items()}, step=0, seconds=self._last_seconds)
        # the page HPARAMS, where runs are compared by what their recipes say
        metrics = {f"scores/{name}": value for name, value in scores.items()}
        for summary in hparams({**self._parameters, **self._facts}, metrics):
            self._add(summary, step=0, seconds=self._last_seconds)
        self._writer.close()

    def _add(self, summary: Summary, step: int, seconds: float) -> None:
        self._last_seconds = max(seconds, self._last_seconds)
        self._writer.write_event(Event(wall_time=self._last_seconds, step=step, summary=summary))


def _shown(value: Value) -> str | int | float | bool:
    return "null" if value is None else value


def _table(values: Mapping[str, object]) -> str:
    """A Markdown table; a cell is one line and holds no bar."""
    rows = [f"| {name} | {' '.join(str(value).split()).replace('|', '&#124;')} |" for name, value in values.items()]
    return "\n".join(["| key | value |", "|---|---|", *rows])
