"""The trained model in the formats that other programs load."""

from functools import partial

from flows.corpus import Stages
from flows.recipe import Recipe
from flows.session import Session
from flows.stage import Stage, run_stage
from model.export.stage import export_part
from pipeline_lib.tokenizer.huggingface import tokenizer_files
from storage.manifests import Part


def export(session: Session, recipe: Recipe, scores: Stages) -> Stages:
    """A folder for Hugging Face transformers: weights, config, tokenizer, model card."""
    run = session.run
    with scores["tokenizer"].local_file("model") as model:
        files = tokenizer_files(model.read_bytes())
    facts = {
        "run_id": run.run_id,
        "recipe_name": run.recipe_name,
        "recipe_digest": run.recipe_digest,
        "corpus_digest": run.corpus_digest,
        "git_commit": run.environment["git_commit"],
        "metrics": dict(run.metrics),
    }
    published = run_stage(
        session,
        Stage(
            name="export",
            work=partial(export_part, tokenizer_files=files, facts=facts),
            parts=[Part(name="all")],
            parameters=None,
            inputs={name: scores[name] for name in ("train", "tokenizer", "evaluate")},
            libraries=("safetensors", "tokenizers"),
            code=("pipeline_lib.tokenizer.huggingface",),
            in_process=True,
        ),
    )
    session.note("export", published, "huggingface")
    return {**scores, "export": published}
