"""`gristmill dedup`: duplicates out of anyone's files, without a run and without Prefect."""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from flows.clear_errors import clear_errors
from flows.file_progress import told_by_file
from flows.verbs.options import id_field_option, json_option, out_option, set_option, text_field_option, workers_option

if TYPE_CHECKING:
    from pipeline_lib.dedup.deduplicated_files import DedupProgress
    from pipeline_lib.dedup.parameters import DedupParameters

_RECALL = 0.92  # at 0.8 it asks for FineWeb's 14 bands of 8


@click.command()
@click.argument("files", metavar="FILES...", nargs=-1, required=True)
@click.option(
    "--threshold",
    metavar="T",
    type=float,
    default=0.8,
    show_default=True,
    help="Similarity from which a document is a duplicate, above 0 and up to 1.",
)
@out_option
@click.option(
    "--against",
    metavar="DIR",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Output of an earlier `gristmill dedup`: remove what it keeps already; repeatable.",
)
@set_option("`dedup` in a recipe")
@text_field_option
@id_field_option
@click.option(
    "--url-field",
    metavar="NAME",
    help="Column of URLs: of documents of the same page, one stays.  [default: URLs are not compared]",
)
@workers_option("Threads that read and write")
@click.option(
    "--scratch",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Folder for scratch files, about as large as all texts.  [default: in the output folder]",
)
@json_option
def dedup(
    files: tuple[str, ...],
    threshold: float,
    out: Path,
    against: tuple[Path, ...],
    overrides: tuple[str, ...],
    text_field: str,
    id_field: str | None,
    url_field: str | None,
    workers: int | None,
    scratch: Path | None,
    as_json: bool,
) -> None:
    """Remove exact and near-duplicates from FILES: JSON Lines (plain, .gz, .zst) or Parquet; paths, globs, folders,
    URLs.

    A document is removed only if one that stays has the same words, or shares at least the share T of its word
    5-grams with it (exact Jaccard similarity, not an estimate). Of duplicates the longest stays.

    Writes for each file one of the documents that stay under kept/, with their lines or rows as they were; under
    decisions/ a table of those removed, each with the one kept in its place and how similar it is; under rejected/ one
    of the rows that hold no text; and `summary.json`: all of it, or nothing.

    \b
    gristmill dedup docs/*.jsonl.zst --threshold 0.8 --out deduped/
    gristmill dedup week-2/ --against deduped/ --out deduped-2/
    gristmill dedup docs.parquet --text-field content --set keep=[quality] --set quality_signal=score --out deduped/
    gristmill dedup docs.parquet --set recall=0.99 --out deduped/

    Pairs at T are found with a probability of 0.92; `--set recall=` or `bands=` and `rows=` change that.
    """
    with clear_errors("nothing was written"):
        from flows.compiled import keep_compiled_kernels

        keep_compiled_kernels()
        from flows.runners import default_workers
        from pipeline_lib.dedup.deduplicated_files import deduplicate_files
        from pipeline_lib.text_files.finding import find_files
        from pipeline_lib.text_files.rows import RowFields
        from pipeline_lib.text_files.times import TIME_COLUMNS

        parameters = load_parameters(threshold, overrides, compare_urls=url_field is not None)
        fields = RowFields(
            text_field=text_field,
            id_field=id_field,
            url_field=url_field or ("url" if parameters.url else None),
            time_fields=TIME_COLUMNS if {"earliest", "latest"} & set(parameters.keep) else (),
            quality_field=parameters.quality_signal,
        )
        found = find_files(files)
        with shown_progress() as progress:
            summary = deduplicate_files(
                found,
                out,
                parameters,
                workers=workers or default_workers(),
                progress=progress,
                fields=fields,
                scratch=scratch,
                against=against,
            )
        if as_json:
            click.echo(json.dumps(summary.as_json()))
            return
        account = summary.account
        kept = account.documents_out / account.documents_in if account.documents_in else 0.0
        click.echo(f"{account.documents_in:,} rows, {account.documents_out:,} kept ({kept:.1%})")
        for reason, count in sorted(account.dropped.items(), key=lambda item: (-item[1], item[0])):
            click.echo(f"{count:>12,}  {reason}")
        click.echo(f"{out}: {len(summary.files)} files each in kept/, decisions/ and rejected/, summary.json")


def load_parameters(threshold: float, overrides: Sequence[str], *, compare_urls: bool) -> "DedupParameters":
    """The parameters of dedup with `key=value` overrides, with or without `dedup.` before them.

    Raises:
        SettingsError: an unknown key, or a wrong value.
    """
    from pydantic import TypeAdapter, ValidationError

    from flows.settings import SettingsError, apply_override, explain, known_keys, list_single_values
    from pipeline_lib.dedup.parameters import DedupParameters

    content = asdict(DedupParameters()) | {"threshold": threshold, "url": compare_urls}
    known = set(known_keys(DedupParameters, ""))
    changed = []
    for override in overrides:
        changed.append(override.strip().removeprefix("dedup."))
        apply_override(content, changed[-1], known)
    list_single_values(content, DedupParameters)
    if not {"bands", "rows", "recall"} & {each.partition("=")[0].strip() for each in changed}:
        content["recall"] = _RECALL
    try:
        return TypeAdapter(DedupParameters).validate_python(content)
    except ValidationError as error:
        raise SettingsError(f"--threshold, --set: {explain(error)}") from error


@contextmanager
def shown_progress() -> Iterator[Callable[["DedupProgress"], None]]:
    with told_by_file("starting") as tell:

        def show(progress: "DedupProgress") -> None:
            before = {"read": 0, "compare": progress.num_files, "write": progress.num_files + 1}[progress.step]
            tell(before + max(1, progress.files_begun), lambda seconds: _line(progress, seconds))

        yield show


def _line(progress: "DedupProgress", seconds: float) -> str:
    if progress.step == "read":
        rate = progress.documents / seconds
        return (
            f"reading file {progress.files_begun} of {progress.num_files}: {progress.documents:,} documents, "
            f"{rate:,.0f} a second"
        )
    if progress.step == "compare":
        return f"comparing {progress.documents:,} documents"
    return f"writing file {progress.files_begun} of {progress.num_files}"
