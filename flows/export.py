"""The trained model in the formats that other programs load."""

import json
from functools import partial

from flows.corpus import Stages
from flows.recipe import Recipe
from flows.session import Session
from flows.stage import Stage, run_stage
from pipeline_lib.tokenizer.huggingface import tokenizer_config, tokenizer_json
from storage.manifests import Part

_SCORES = ("val_bits_per_byte", "xz_bits_per_byte", "gzip_bits_per_byte")


def export(session: Session, recipe: Recipe, scores: Stages) -> Stages:
    """A folder for Hugging Face transformers: weights, config, tokenizer, model card."""
    # here, not above: it imports PyTorch, which runs that end before a model do without
    from model.export.stage import export_part

    run = session.run
    with scores["tokenizer"].local_file("model") as path:
        tokenizer = path.read_bytes()
    context = recipe.training.context
    files = {
        "tokenizer.model": tokenizer,
        "tokenizer.json": tokenizer_json(tokenizer).encode(),
        "tokenizer_config.json": json.dumps(tokenizer_config(max_tokens=context), indent=2).encode(),
    }
    facts = {
        "name": f"gristmill-{run.recipe_name}",
        "recipe": run.recipe_name,
        "recipe_digest": run.recipe_digest,
        "corpus_digest": run.corpus_digest,
        "run_id": run.run_id,
        "git_commit": run.environment["git_commit"],
        "scores": {name: run.metrics[name] for name in _SCORES if name in run.metrics},
    }
    published = run_stage(
        session,
        Stage(
            name="export",
            work=partial(export_part, tokenizer_files=files, facts=facts),
            parts=[Part(name="all")],
            parameters=recipe.export,
            inputs={name: scores[name] for name in ("train", "tokenizer", "evaluate")},
            libraries=("safetensors", "tokenizers"),
            code=("pipeline_lib.tokenizer.huggingface",),
            in_process=True,
        ),
    )
    session.note("export", published, "huggingface")
    return {**scores, "export": published}
