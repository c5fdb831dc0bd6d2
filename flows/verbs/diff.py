"""The verb that says what differs between two runs: `diff`."""

import json

import click

from flows.clear_errors import clear_errors
from flows.verbs.options import json_option, store_option
from storage.runs import find_run
from storage.store import Store


@click.command()
@click.argument("a")
@click.argument("b", default="latest", metavar="[B]")
@click.option(
    "--examples",
    metavar="N",
    type=click.IntRange(min=0),
    default=3,
    show_default=True,
    help="Documents to show of those lost, gained and changed.",
)
@store_option
@json_option
def diff(a: str, b: str, examples: int, store_url: str, as_json: bool) -> None:
    """Say what differs from run A to run B: recipe, code, libraries, inputs, counts by reason, documents, tokenizer,
    scores.

    Of a document that only one corpus has, it says which rule dropped it from the other, with the value and the line,
    or of what it was found to be a duplicate.

    \b
    gristmill diff demo-20261101 latest
    gristmill diff 4f21 latest --examples 20 --json
    """
    with clear_errors():
        from flows.diff import describe_diff, diff_runs

        store = Store(store_url)
        found = diff_runs(store, find_run(store, a), find_run(store, b), examples=examples)
        click.echo(json.dumps(found.as_json()) if as_json else describe_diff(found))
