"""`gristmill extract`: documents out of anyone's files, without a run and without Prefect."""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from flows.clear_errors import clear_errors
from flows.file_progress import told_by_file
from flows.verbs.options import json_option, out_option, set_option, workers_option

if TYPE_CHECKING:
    from pipeline_lib.extract.extracted_files import ExtractProgress
    from pipeline_lib.extract.parameters import ExtractParameters


@click.command()
@click.argument("files", metavar="FILES...", nargs=-1, required=True)
@out_option
@set_option("`extract` in a recipe")
@workers_option("Processes that read pages")
@json_option
def extract(files: tuple[str, ...], out: Path, overrides: tuple[str, ...], workers: int | None, as_json: bool) -> None:
    """Extract the main text of the pages in FILES: WARC, WET and HTML files; paths, globs, folders, URLs.

    Writes for each WARC file, and for all HTML pages together, a Parquet of documents; under rejected/ one of the
    records that are none, with reasons; and `summary.json`: all of it, or nothing.

    \b
    gristmill extract crawl.warc.gz --out docs/
    gristmill extract crawl/*.warc.gz pages/ --set extractor=trafilatura --out docs/
    gristmill extract crawl.warc.wet.gz --set 'opt_outs.domains=[example.org]' --out docs/
    """
    with clear_errors("nothing was written"):
        from flows.compiled import keep_compiled_kernels

        keep_compiled_kernels()
        from flows.runners import default_workers
        from pipeline_lib.extract.extracted_files import SUFFIXES, extract_files
        from pipeline_lib.extract.opt_outs import check_opt_out_lists
        from pipeline_lib.text_files.finding import find_files

        parameters = load_parameters(overrides)
        check_opt_out_lists(parameters.opt_outs)
        found = find_files(files, SUFFIXES)
        with shown_progress() as progress:
            summary = extract_files(found, out, parameters, workers=workers or default_workers(), progress=progress)
        if as_json:
            click.echo(json.dumps(summary.as_json()))
            return
        account = summary.account
        click.echo(f"{account.documents_in:,} records, {account.documents_out:,} documents")
        for reason, count in sorted(account.dropped.items(), key=lambda item: (-item[1], item[0])):
            click.echo(f"{count:>12,}  {reason}")
        click.echo(f"{out}: {len(summary.files)} tables of documents, {len(summary.files)} in rejected/, summary.json")


def load_parameters(overrides: Sequence[str]) -> "ExtractParameters":
    """The parameters of extraction with `key=value` overrides, with or without `extract.` before them.

    Raises:
        SettingsError: an unknown key, or a wrong value.
    """
    from pydantic import TypeAdapter, ValidationError

    from flows.settings import SettingsError, apply_override, explain, known_keys
    from pipeline_lib.extract.parameters import ExtractParameters

    content = asdict(ExtractParameters())
    known = set(known_keys(ExtractParameters, ""))
    for override in overrides:
        apply_override(content, override.strip().removeprefix("extract."), known)
    try:
        return TypeAdapter(ExtractParameters).validate_python(content)
    except ValidationError as error:
        raise SettingsError(f"--set: {explain(error)}") from error


@contextmanager
def shown_progress() -> Iterator[Callable[["ExtractProgress"], None]]:
    with told_by_file("starting") as tell:
        yield lambda progress: tell(
            progress.file_number,
            lambda seconds: (
                f"file {progress.file_number} of {progress.num_files}: {progress.records:,} records, "
                f"{progress.documents:,} documents, {progress.documents / seconds:.0f} a second"
            ),
        )
