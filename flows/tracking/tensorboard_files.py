"""Event files as TensorBoard reads them: `tensorboard --logdir STORE/runs` shows every run of a store."""

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from types import ModuleType

from flows.tracking.tracker import TrackedRun, Value


@contextmanager
def _without_its_beginning(package: str) -> Iterator[None]:
    """Import modules of a package and not what its `__init__` imports."""
    spec = find_spec(package)
    if package in sys.modules or spec is None:
        yield
        return
    stand_in = ModuleType(package)
    stand_in.__path__ = list(spec.submodule_search_locations or ())
    sys.modules[package] = stand_in
    try:
        yield
    finally:
        del sys.modules[package]


# tensorboardX's own beginning imports PyTorch: two seconds and 200 MB, which a run that ends at a corpus does without.
with _without_its_beginning("tensorboardX"):
    from tensorboardX.event_file_writer import EventsWriter
    from tensorboardX.proto.api_pb2 import DataType, Experiment, HParamInfo, MetricInfo, MetricName, Status
    from tensorboardX.proto.event_pb2 import Event
    from tensorboardX.proto.plugin_hparams_pb2 import HParamsPluginData, SessionEndInfo, SessionStartInfo
    from tensorboardX.proto.plugin_text_pb2 import TextPluginData
    from tensorboardX.proto.summary_pb2 import Summary, SummaryMetadata
    from tensorboardX.proto.tensor_pb2 import TensorProto
    from tensorboardX.proto.tensor_shape_pb2 import TensorShapeProto

FOLDER = "tensorboard"

_STATUS = {"completed": "STATUS_SUCCESS"}


class TensorBoardFiles:
    """One event file of a run. The writer is the plain one: tensorboardX's other one hides errors in a thread."""

    def __init__(self, run: TrackedRun) -> None:
        folder = run.folder / FOLDER
        folder.mkdir(parents=True, exist_ok=True)
        self._parameters: dict[str, Value] = dict(run.parameters)
        self._facts = dict(run.facts)
        self._writer = EventsWriter(str(folder / "events"))
        self._last_seconds = 0.0
        self._add(_text("recipe", _table(self._parameters)), step=0, seconds=0.0)

    def log(self, metrics: Mapping[str, float], step: int, seconds: float) -> None:
        values = [Summary.Value(tag=name, simple_value=value) for name, value in metrics.items()]
        self._add(Summary(value=values), step, seconds)

    def note(self, facts: Mapping[str, str]) -> None:
        self._facts.update(facts)
        self._add(_text("run", _table(self._facts)), step=0, seconds=self._last_seconds)

    def flush(self) -> None:
        self._writer.flush()

    def close(self, scores: Mapping[str, float], status: str) -> None:
        self.note({"status": status})
        metrics = {f"scores/{name}": value for name, value in scores.items()}
        self.log(metrics, step=0, seconds=self._last_seconds)
        # the page HPARAMS, where runs are compared by what their recipes say
        for summary in _comparison({**self._parameters, **self._facts}, list(metrics), status):
            self._add(summary, step=0, seconds=self._last_seconds)
        self._writer.close()

    def _add(self, summary: Summary, step: int, seconds: float) -> None:
        self._last_seconds = max(seconds, self._last_seconds)
        self._writer.write_event(Event(wall_time=self._last_seconds, step=step, summary=summary))


def _text(tag: str, markdown: str) -> Summary:
    """What the page TEXT shows."""
    shape = TensorShapeProto(dim=[TensorShapeProto.Dim(size=1)])
    tensor = TensorProto(dtype="DT_STRING", string_val=[markdown.encode()], tensor_shape=shape)
    metadata = _metadata("text", TextPluginData(version=0).SerializeToString())
    return Summary(value=[Summary.Value(tag=f"{tag}/text_summary", metadata=metadata, tensor=tensor)])


def _comparison(parameters: Mapping[str, Value], metrics: list[str], status: str) -> list[Summary]:
    """What the page HPARAMS needs of a run: which parameters and metrics there are, their values, how it ended."""
    began = SessionStartInfo()
    infos = []
    for name, value in parameters.items():
        kind = "STRING"
        if isinstance(value, bool):
            kind, began.hparams[name].bool_value = "BOOL", value
        elif isinstance(value, int | float):
            kind, began.hparams[name].number_value = "FLOAT64", float(value)
        else:
            began.hparams[name].string_value = "null" if value is None else value
        infos.append(HParamInfo(name=name, type=DataType.Value(f"DATA_TYPE_{kind}")))
    known = Experiment(hparam_infos=infos, metric_infos=[MetricInfo(name=MetricName(tag=name)) for name in metrics])
    ended = SessionEndInfo(status=Status.Value(_STATUS.get(status, "STATUS_FAILURE")))
    contents = {
        "experiment": HParamsPluginData(experiment=known, version=0),
        "session_start_info": HParamsPluginData(session_start_info=began, version=0),
        "session_end_info": HParamsPluginData(session_end_info=ended, version=0),
    }
    return [
        Summary(value=[Summary.Value(tag=f"_hparams_/{name}", metadata=_metadata("hparams", each.SerializeToString()))])
        for name, each in contents.items()
    ]


def _metadata(plugin: str, content: bytes) -> SummaryMetadata:
    return SummaryMetadata(plugin_data=SummaryMetadata.PluginData(plugin_name=plugin, content=content))


def _table(values: Mapping[str, object]) -> str:
    """A Markdown table; a cell is one line and holds no bar."""
    rows = [f"| {name} | {' '.join(str(value).split()).replace('|', '&#124;')} |" for name, value in values.items()]
    return "\n".join(["| key | value |", "|---|---|", *rows])
