"""What a flow run is called, and the tags that a team finds it by.

Tasks have no tags: for each one that has, Prefect's engine asks the server for leave before the work, on the way of the
run, and fails it where nobody answers.
"""

from collections.abc import Sequence

from flows.recipe import Recipe
from storage.runs import Run

FLOW_NAME = "gristmill"
RUN_TAG = "run:"  # before a run's id

_DIGEST_DIGITS = 8


def name_at_first(recipe: Recipe) -> str:
    """The name of a flow run that begins: its recipe, and what the recipe says."""
    return f"{recipe.name} recipe-{recipe.digest()[:_DIGEST_DIGITS]}"


def name_with_corpus(run: Run) -> str:
    """The name once the corpus is known: flow runs of one corpus have one name, whatever made it."""
    return f"{run.recipe_name} corpus-{(run.corpus_digest or '')[:_DIGEST_DIGITS]}"


def tags_at_first(recipe: Recipe, run: Run, store_url: str, given: Sequence[str]) -> list[str]:
    """Tags of a flow run that begins, after those it was given."""
    named = {
        "recipe": recipe.name,
        "recipe-digest": run.recipe_digest[:_DIGEST_DIGITS],
        "goal": recipe.goal,
        "source": recipe.source.kind,
        "crawl": recipe.source.crawl,
        "index": recipe.dedup_index,
        "store": store_url,
    }
    return [*given, f"{RUN_TAG}{run.run_id}", *(f"{name}:{value}" for name, value in named.items() if value)]


def tags_at_last(run: Run) -> list[str]:
    """Tags of a run that ends: its corpus, and how much of it was there already."""
    reused = sum(stage.reused for stage in run.stages)
    how = "nothing" if not reused else "everything" if reused == len(run.stages) else "some"
    corpus = [f"corpus:{run.corpus_digest[:_DIGEST_DIGITS]}"] if run.corpus_digest else []
    return [*corpus, f"reused:{how}"]
