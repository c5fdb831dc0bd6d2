"""From corpus to token shards: a tokenizer, then ids, shuffled over the whole corpus."""

from flows.corpus import Stages
from flows.recipe import Recipe
from flows.session import Session
from flows.stage import Stage, run_stage, same_parts
from pipeline_lib.decontaminate.shard_stage import contamination_part
from pipeline_lib.tokenizer.stage import tokenizer_part
from pipeline_lib.tokens.stage import encode_part, token_parts, tokens_part
from storage.manifests import Part


def train_tokenizer(session: Session, recipe: Recipe, corpus: Stages) -> Stages:
    published = run_stage(
        session,
        Stage(
            name="tokenizer",
            work=tokenizer_part,
            parts=[Part(name="all")],
            parameters=recipe.tokenizer,
            inputs={"corpus": corpus["corpus"]},
            libraries=("sentencepiece", "numpy"),
        ),
    )
    session.note("tokenizer", published, published.manifest.files("model")[0].path)
    return {**corpus, "tokenizer": published}


def encode_and_shuffle(session: Session, recipe: Recipe, corpus: Stages) -> Stages:
    """Ids part by part; then shards that take their documents from all parts, in the order of a hash."""
    encoded = run_stage(
        session,
        Stage(
            name="encode",
            work=encode_part,
            parts=same_parts(corpus["corpus"]),
            parameters=recipe.tokens.encoding,
            inputs={"corpus": corpus["corpus"], "tokenizer": corpus["tokenizer"]},
            libraries=("sentencepiece", "numpy", "pyarrow"),
            continues="corpus",
        ),
    )
    shards = run_stage(
        session,
        Stage(
            name="tokens",
            work=tokens_part,
            parts=token_parts(recipe.tokens),
            parameters=recipe.tokens,
            inputs={"encode": encoded},
            libraries=("numpy", "pyarrow"),
            continues="encode",
        ),
    )
    session.note("shards", shards)
    return {**corpus, "encode": encoded, "tokens": shards}


def check_for_items(session: Session, recipe: Recipe, shards: Stages) -> Stages:
    """Look through the shards, training and validation, for the items that decontamination looked for."""
    if "decontaminate" not in shards:
        return shards
    names = ("tokens", "tokenizer", "evaluation-items", "common-ngrams")
    published = run_stage(
        session,
        Stage(
            name="contamination",
            work=contamination_part,
            parts=same_parts(shards["tokens"]),
            parameters=recipe.decontamination.verdict(),
            inputs={name: shards[name] for name in names if name in shards},
            libraries=("sentencepiece", "numba", "numpy", "pyarrow"),
            continues="tokens",
        ),
    )
    return {**shards, "contamination": published}
