"""What a tracker of metrics is to us, and what it is told of a run."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

TrackerName = Literal["tensorboard", "mlflow", "wandb"]
Value = str | int | float | bool | None


@dataclass(frozen=True, kw_only=True)
class TrackedRun:
    """What is known of a run when it begins.

    Attributes:
        parameters: the recipe, keys dotted.
        facts: what identifies the run: its recipe's digest, the git commit.
        folder: of this run, on this machine, for files of trackers; what is written there is in the store when the run
            ends.
        home: for what runs share: beside the store's runs where the store is on this machine.
    """

    run_id: str
    recipe_name: str
    parameters: Mapping[str, Value]
    facts: Mapping[str, str]
    folder: Path
    home: Path


class Tracker(Protocol):
    """Where metrics go. One thread calls it at a time; what it raises ends it, and never a run."""

    def log(self, metrics: Mapping[str, float], step: int, seconds: float) -> None:
        """Metrics of one step, by names such as `train/loss`; `seconds` since the epoch."""
        ...

    def note(self, facts: Mapping[str, str]) -> None:
        """What became known of the run, such as the digest of its corpus."""
        ...

    def flush(self) -> None:
        """Make what was logged visible to who looks now."""
        ...

    def close(self, scores: Mapping[str, float], status: str) -> None:
        """The run ended, with these scores: `completed`, `failed` or `interrupted`."""
        ...
