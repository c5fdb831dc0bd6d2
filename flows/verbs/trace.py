"""The verb `trace`: from a token or a phrase back to the archived page."""

import json
import sys
from typing import Any

import click

from flows.clear_errors import WORK_FAILED, clear_errors
from flows.verbs.options import json_option, store_option
from storage.runs import find_run
from storage.store import Store
from storage.wrong_request import WrongRequest

_SPLITS = ("train", "validation")


@click.command()
@click.argument("run", metavar="[RUN]", default="latest")
@click.option("--token", metavar="N", type=int, help="A token of the split's stream, from 0.")
@click.option("--text", metavar="PHRASE", help="A phrase: find it in the corpus, or in what was dropped.")
@click.option("--step", metavar="S", type=int, help="A step of training, from 1: list the documents that it saw.")
@click.option("--split", type=click.Choice(_SPLITS), help="Which stream.  [default: train; for --text both]")
@click.option(
    "--context",
    metavar="K",
    type=click.IntRange(min=0),
    default=60,
    show_default=True,
    help="So many characters of text on each side.",
)
@click.option("--limit", metavar="N", type=click.IntRange(min=1), default=10, show_default=True, help="Of --text.")
@click.option("--any-space", is_flag=True, help="Of --text: any white space is as good as any other.")
@click.option("--ignore-case", is_flag=True, help="Of --text.")
@store_option
@json_option
def trace(
    run: str,
    token: int | None,
    text: str | None,
    step: int | None,
    split: str | None,
    context: int,
    limit: int,
    any_space: bool,
    ignore_case: bool,
    store_url: str,
    as_json: bool,
) -> None:
    """Trace what a model of RUN read back to the page it came from: document, URL, WARC file and offset.

    Token N is a position in the stream that training reads: the tokens of the split's shards, shard after shard by
    their numbers, counted from 0. The first and the last token of each document (<s> and </s>) count, and belong to
    it. Row r of a batch begins at token r x training.context.

    \b
    gristmill trace latest --token 123456
    gristmill trace latest --text "to be, or not" --ignore-case --any-space
    gristmill trace latest --step 100
    """
    with clear_errors():
        if sum(each is not None for each in (token, text, step)) != 1:
            raise WrongRequest("trace needs one of --token N, --text PHRASE and --step S")
        if step is not None and split == "validation":
            raise WrongRequest("--step is of training, which reads the split train: leave --split out")
        from flows.trace import SPLITS, Tracer
        from flows.trace_told import describe_phrase, describe_step, describe_token
        from pipeline_lib.corpus.phrases import Phrase

        store = Store(store_url)
        found = find_run(store, run)
        tracer = Tracer(store, found)
        traced: dict[str, Any]
        if token is not None:
            traced = tracer.token(token, split or "train", context)
            told = describe_token(found, traced)
        elif step is not None:
            traced = tracer.step(step)
            told = describe_step(found, traced)
        else:
            assert text is not None
            phrase = Phrase(text=text, any_space=any_space, ignore_case=ignore_case)
            traced = tracer.phrase(phrase, SPLITS if split is None else (split,), limit, context)
            told = describe_phrase(found, traced, has_shards=tracer.has_shards)
        click.echo(json.dumps({"run_id": found.run_id, **traced}) if as_json else told)
        if text is not None and not traced["kept"]:
            sys.exit(WORK_FAILED)
