"""Which trackers there are, what each needs, and how one is opened: its library is imported then, and not before."""

import importlib
from collections.abc import Sequence
from importlib.util import find_spec

from flows.tracking.tracker import TrackedRun, Tracker, TrackerName
from storage.wrong_request import WrongRequest

# name -> our module, the class in it, the library
_TRACKERS = {
    "tensorboard": ("flows.tracking.tensorboard_files", "TensorBoardFiles", "tensorboardX"),
    "mlflow": ("flows.tracking.mlflow_runs", "MlflowRun", "mlflow"),
    "wandb": ("flows.tracking.wandb_runs", "WandbRun", "wandb"),
}


class TrackerMissing(WrongRequest):
    """A recipe names a tracker whose library is not installed."""


def check_trackers(names: Sequence[TrackerName]) -> None:
    """Raises TrackerMissing where a library is not installed; imports none."""
    for name in names:
        library = _TRACKERS[name][2]
        if find_spec(library) is None:
            raise TrackerMissing(
                f"tracking names {name}, but {library} is not installed: pip install 'gristmill[{name}]', "
                "or leave it out of tracking"
            )


def open_tracker(name: TrackerName, run: TrackedRun) -> Tracker:
    """Import a tracker's library, and begin a run in it."""
    module, class_name, _ = _TRACKERS[name]
    tracker: Tracker = getattr(importlib.import_module(module), class_name)(run)
    return tracker
