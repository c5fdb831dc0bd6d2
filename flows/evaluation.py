"""Scores of one checkpoint: bits per byte of held-out text beside general compressors, and what it writes."""

from functools import partial

from flows.corpus import Stages
from flows.recipe import Recipe
from flows.session import Session
from flows.stage import Stage, run_stage
from pipeline_lib.tokenizer.model import load_tokenizer
from storage.manifests import Part


def evaluate(session: Session, recipe: Recipe, checkpoint: Stages) -> Stages:
    # here, not above: it imports PyTorch, which runs that end before a model do without
    from model.evaluation.stage import evaluate_part

    with checkpoint["tokenizer"].local_file("model") as path:
        tokenizer = load_tokenizer(path)
    published = run_stage(
        session,
        Stage(
            name="evaluate",
            work=partial(evaluate_part, encode=tokenizer.encode, decode=tokenizer.decode),
            parts=[Part(name="all")],
            parameters=recipe.evaluation,
            inputs={name: checkpoint[name] for name in ("train", "tokens", "corpus")},
            libraries=("torch",),
            code=("pipeline_lib.tokenizer.model",),
            in_process=True,
        ),
    )
    session.run.metrics.update(published.manifest.metrics)
    return {**checkpoint, "evaluate": published}
