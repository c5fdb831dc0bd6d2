"""Pretraining: token shards to a checkpoint."""

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from flows.corpus import Stages
from flows.recipe import Recipe
from flows.session import Session
from flows.stage import Stage, run_stage
from pipeline_lib.report.learning import read_log
from storage.manifests import Part

if TYPE_CHECKING:
    from model.training import TrainingStep


def train(session: Session, recipe: Recipe, shards: Stages) -> Stages:
    """Train in this process, on all its cores, with a line of progress every step."""
    # here, not above: it imports PyTorch, which runs that end before a model do without
    from model.training_stage import train_part

    with session.progress.stage("training", recipe.training.steps, is_certain=False) as progress:

        def on_step(step: "TrainingStep") -> None:
            session.check_stopping()
            progress.reach(step.step, f"loss {step.loss:.3f}  {step.tokens_per_second:,.0f} tokens/s")
            session.tracking.training_step(step.as_json())

        def on_resume(steps: "Sequence[TrainingStep]") -> None:
            session.tracking.training_log([step.as_json() for step in steps])

        published = run_stage(
            session,
            Stage(
                name="train",
                work=partial(train_part, on_step=on_step, on_resume=on_resume),
                parts=[Part(name="all")],
                parameters=recipe.training,
                inputs={"tokens": shards["tokens"]},
                libraries=("torch",),
                in_process=True,
            ),
        )
    with published.local_file("log") as log:  # all of it where training was reused
        session.tracking.training_log(read_log(log))
    session.note("checkpoint", published, published.manifest.files("model")[0].path)
    return {**shards, "train": published}
