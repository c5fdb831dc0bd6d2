"""`gristmill decontaminate`: evaluation items in anyone's files, without a run and without Prefect."""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from flows.clear_errors import clear_errors
from flows.file_progress import told_by_file
from flows.verbs.options import id_field_option, json_option, out_option, set_option, text_field_option, workers_option

if TYPE_CHECKING:
    from pipeline_lib.decontaminate.checked_files import CheckProgress, CheckSummary
    from pipeline_lib.decontaminate.parameters import DecontaminationParameters


@click.command()
@click.argument("files", metavar="FILES...", nargs=-1, required=True)
@click.option(
    "--against",
    metavar="EVAL",
    multiple=True,
    help="Files of evaluation items, JSON Lines or Parquet: path, glob, folder, URL; repeatable.",
)
@click.option(
    "--fields", metavar="NAME,...", help="Fields of the items, such as question,choices.  [default: all with text]"
)
@out_option
@set_option("`decontamination` in a recipe")
@text_field_option
@id_field_option
@click.option("--with-text", is_flag=True, help="Write the documents that stay, too.")
@workers_option("Threads")
@json_option
def decontaminate(
    files: tuple[str, ...],
    against: tuple[str, ...],
    fields: str | None,
    out: Path,
    overrides: tuple[str, ...],
    text_field: str,
    id_field: str | None,
    with_text: bool,
    workers: int | None,
    as_json: bool,
) -> None:
    """Find the texts in FILES that hold items of evaluation sets: JSON Lines (plain, .gz, .zst) or Parquet.

    Writes for each file decisions/NAME.parquet, the documents with at least half of an item's 13-grams; and
    matches/NAME.parquet, every document with one or more, which item, how much of it, and where; and `summary.json`:
    all of it, or nothing.

    \b
    gristmill decontaminate docs/*.jsonl.zst --against gsm8k.jsonl --fields question,answer --out checked/
    gristmill decontaminate docs.parquet --against evals/ --set threshold=0.3 --set ignore_common=10 --out checked/
    gristmill decontaminate docs.parquet --set 'evaluation_sets=[{name: mmlu, paths: mmlu/*.parquet,
    fields: [question, choices]}]' --with-text --out checked/
    """
    with clear_errors("nothing was written"):
        from flows.compiled import keep_compiled_kernels

        keep_compiled_kernels()
        from flows.runners import default_workers
        from pipeline_lib.decontaminate.checked_files import check_files
        from pipeline_lib.decontaminate.evaluation_files import find_sets
        from pipeline_lib.decontaminate.items import read_sets
        from pipeline_lib.text_files.finding import find_files

        parameters = load_parameters(against, fields, overrides)
        found = find_files(files)
        items = read_sets(find_sets(parameters.evaluation_sets), parameters.ngrams())
        with _shown_progress() as progress:
            summary = check_files(
                found,
                out,
                items,
                parameters,
                workers=workers or default_workers(),
                progress=progress,
                text_field=text_field,
                id_field=id_field,
                with_text=with_text,
            )
        click.echo(json.dumps(summary.as_json()) if as_json else _describe(summary, out))


def load_parameters(
    against: Sequence[str], fields: str | None, overrides: Sequence[str]
) -> "DecontaminationParameters":
    """What the options ask for.

    Raises:
        SettingsError: an unknown key, a wrong value, or no evaluation set.
    """
    from pydantic import TypeAdapter, ValidationError

    from flows.settings import SettingsError, apply_override, explain, known_keys, list_single_values
    from pipeline_lib.decontaminate.parameters import DecontaminationParameters

    content: dict[str, Any] = {}
    known = set(known_keys(DecontaminationParameters, ""))
    for override in overrides:
        apply_override(content, override.strip().removeprefix("decontamination."), known)
    list_single_values(content, DecontaminationParameters)
    if against:
        named = [] if fields is None else [name.strip() for name in fields.split(",") if name.strip()]
        others = content.get("evaluation_sets", [])
        content["evaluation_sets"] = [
            *({"paths": [path], "fields": named} for path in against),
            *(others if isinstance(others, list) else [others]),
        ]
    try:
        parameters = TypeAdapter(DecontaminationParameters).validate_python(content)
    except ValidationError as error:
        raise SettingsError(explain(error)) from error
    if not parameters.is_on:
        raise SettingsError("no evaluation set is named: add --against with files of items, such as gsm8k.jsonl")
    return parameters


@contextmanager
def _shown_progress() -> "Iterator[Callable[[CheckProgress], None]]":
    with told_by_file("reading (the first time, kernels are compiled: some seconds)") as tell:
        yield lambda progress: tell(
            progress.file_number,
            lambda seconds: (
                f"{'counting n-grams, ' if progress.counting else ''}file {progress.file_number} of "
                f"{progress.num_files}: {progress.documents:,} documents, {progress.contaminated:,} hold an item, "
                f"{progress.text_bytes / 1e6 / seconds:.0f} MB/s"
            ),
        )


def _describe(summary: "CheckSummary", out: Path) -> str:
    account = summary.account
    lines = [f"{account.documents_in:,} documents, {summary.contaminated:,} hold an evaluation item"]
    for name, figures in summary.sets.items():
        lines.append(
            f"{name}: {figures.items:,} items, {figures.compared:,} looked for, {len(figures.items_held):,} found in "
            f"{figures.documents_contaminated:,} documents; {len(figures.items_matched):,} with a match in "
            f"{figures.documents_matched:,}"
        )
    lines.append(f"{out}: decisions and matches of {len(summary.files)} files, and summary.json")
    return "\n".join(lines)
