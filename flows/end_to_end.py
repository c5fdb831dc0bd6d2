"""The whole pipeline, in order: from crawl bytes to a model that answers. Read this file first."""

from typing import Any

from prefect import flow
from prefect.runtime import flow_run
from prefect.task_runners import ThreadPoolTaskRunner

from flows.corpus import (
    check_embedding,
    decontaminate,
    deduplicate,
    extract,
    fetch,
    judge,
    leave_out_withdrawn,
    mask_private_data,
    materialise,
    remove_repeated_lines,
    remove_semantic_duplicates,
    sign,
)
from flows.dedup_index import check_index, index_kept
from flows.ending import wait_for_task_rows
from flows.evaluation import evaluate
from flows.export import export
from flows.flow_run_names import FLOW_NAME, name_at_first
from flows.recipe import Recipe
from flows.report import write_report
from flows.session import RunSettings, Session, open_session
from flows.tokens import check_for_items, encode_and_shuffle, train_tokenizer
from flows.training import train
from flows.withdrawal import check_exclusions


def _name() -> str:
    return name_at_first(Recipe.model_validate(flow_run.get_parameters()["recipe"]))


@flow(name=FLOW_NAME, flow_run_name=_name, persist_result=False)
def end_to_end(recipe: Recipe, settings: RunSettings) -> str:
    """Run a recipe and return the run's id. What is published already is used, not made again."""
    flow_run_id = str(flow_run.get_id())
    with open_session(recipe, settings, flow_run_id, flow_run.get_tags()) as session:
        if (page := flow_run.get_flow_run_ui_url()) is not None:
            session.progress.say(f"watch this run at {page}")
        turn_the_mill(recipe, session)
        if not session.showing.is_lost:
            wait_for_task_rows(flow_run_id, session.num_tasks)
        return session.run.run_id


def turn_the_mill(recipe: Recipe, session: Session) -> None:
    check_embedding(recipe)  # a model or function that the recipe names is there
    check_exclusions(session)  # the list of what was withdrawn can be read
    sources = fetch(session, recipe)  # WARC files: named, counted, fingerprinted
    check_index(session, recipe, sources)  # earlier runs that this one is deduplicated against, where it is
    documents = extract(session, recipe, sources)  # main text of every page that has one
    judged = judge(session, recipe, documents)  # signals of every document; the first rule it breaks
    signed = sign(session, recipe, judged)  # MinHash signatures and exact hashes
    allowed = leave_out_withdrawn(session, signed)  # pages and domains on the store's list, where it has one
    unique = deduplicate(session, recipe, allowed)  # copies and near copies, each verified against the one kept
    distinct = remove_semantic_duplicates(session, recipe, unique)  # the same in other words; off by default
    unframed = remove_repeated_lines(session, recipe, distinct)  # lines that a site puts on many pages; off by default
    clean = decontaminate(session, recipe, unframed)  # documents that hold items of evaluation sets; off by default
    masked = mask_private_data(session, recipe, clean)  # e-mail addresses, IP addresses
    corpus = materialise(session, recipe, masked)  # decisions applied: Parquet, train and validation
    corpus = index_kept(session, recipe, corpus)  # for later runs, where the recipe names an index
    if recipe.goal == "corpus":
        write_report(session, recipe, corpus)
        return

    tokenizer = train_tokenizer(session, recipe, corpus)  # SentencePiece BPE
    shards = encode_and_shuffle(session, recipe, tokenizer)  # Arrow IPC, shuffled over the whole corpus
    shards = check_for_items(session, recipe, shards)  # the same items, in what a model will read
    if recipe.goal == "tokens":
        write_report(session, recipe, shards)
        return

    checkpoint = train(session, recipe, shards)  # a decoder language model
    scores = evaluate(session, recipe, checkpoint)  # bits per byte beside gzip and xz, samples
    exported = export(session, recipe, scores)  # what Hugging Face transformers loads
    write_report(session, recipe, exported)  # one page that shows all of it


def thread_runner(workers: int) -> ThreadPoolTaskRunner[Any]:
    """Threads that wait for worker processes, or do the work: Prefect's own process pool ends a flow with a worker."""
    return ThreadPoolTaskRunner(max_workers=workers)
