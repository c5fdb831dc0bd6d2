"""Weights & Biases: files in the run's folder, for `wandb sync`; online where WANDB_MODE says so."""

import os
from collections.abc import Mapping
from typing import Any

# Before the import, and not as an argument of `init` alone: W&B counts its users over the network where the
# environment does not say offline, whatever the run says.
os.environ.setdefault("WANDB_MODE", "offline")

import wandb

from flows.tracking.tracker import TrackedRun

_PROJECT = "gristmill"
_EXIT_CODES = {"completed": 0, "failed": 1, "interrupted": 255}


class WandbRun:
    """One run of a project, `gristmill` unless WANDB_PROJECT says otherwise; its files are in the folder `wandb`.

    Its samples of the machine, its look at the code and its copy of the terminal are off: they cost, and say what the
    run's record says.
    """

    def __init__(self, run: TrackedRun) -> None:
        run.folder.mkdir(parents=True, exist_ok=True)
        self._run = wandb.init(
            dir=str(run.folder),
            project=os.environ.get("WANDB_PROJECT", _PROJECT),
            name=run.run_id,
            group=run.recipe_name,
            config={**run.parameters, **{f"run/{name}": value for name, value in run.facts.items()}},
            settings=wandb.Settings(
                silent=True,
                console="off",
                disable_git=True,
                disable_code=True,
                disable_job_creation=True,
                x_disable_stats=True,
                x_disable_meta=True,
                x_save_requirements=False,
            ),
        )
        # a step of training and a stage of the pipeline are different axes
        for group in ("train", "pipeline"):
            self._run.define_metric(f"{group}/step", hidden=True)
            self._run.define_metric(f"{group}/*", step_metric=f"{group}/step")

    def log(self, metrics: Mapping[str, float], step: int, seconds: float) -> None:
        groups = {name.partition("/")[0] for name in metrics}
        self._run.log({**metrics, **{f"{group}/step": step for group in groups}})

    def note(self, facts: Mapping[str, str]) -> None:
        config: Any = self._run.config  # its methods carry no types
        config.update({f"run/{name}": value for name, value in facts.items()}, allow_val_change=True)

    def flush(self) -> None:
        """Nothing to do: its own process writes at once."""

    def close(self, scores: Mapping[str, float], status: str) -> None:
        self.note({"status": status})
        summary: Any = self._run.summary  # its methods carry no types
        summary.update({f"scores/{name}": value for name, value in scores.items()})
        self._run.finish(exit_code=_EXIT_CODES.get(status, 1))
