"""`gristmill judge`: rules on anyone's files, without a run and without Prefect."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict
from functools import partial
from pathlib import Path

import pyarrow as pa
from rich.console import Console

from pipeline_lib.filters.conditions import Signals
from pipeline_lib.filters.judged_files import JudgeProgress, JudgeSummary, judge_files
from pipeline_lib.filters.judging import Measuring, judge_batch, wanted_columns
from pipeline_lib.filters.parameters import FilterParameters
from pipeline_lib.filters.rule_files import check_rule_files
from pipeline_lib.filters.rules.perplexity import kind_of, signals_from
from pipeline_lib.text_files.finding import find_files
from storage.digests import value_digest


def judge(
    patterns: Sequence[str],
    filters: FilterParameters,
    out: Path,
    *,
    workers: int,
    progress: Callable[[JudgeProgress], None],
    text_field: str = "text",
    id_field: str | None = None,
    with_text: bool = False,
) -> JudgeSummary:
    """Judge all documents of the files into the folder `out`; see `judge_files`.

    Raises:
        WrongRequest: what was asked for cannot be done; the message names file, row or key, and nothing is written.
    """
    files = find_files(patterns)
    digests = check_rule_files(filters)
    return judge_files(
        files,
        out,
        partial(judge_batch, filters=filters, given=_measured_by_model(filters)),
        workers=workers,
        progress=progress,
        rules_digest=value_digest({"filters": asdict(filters), "files": digests}),
        text_field=text_field,
        id_field=id_field,
        extra=wanted_columns(filters),
        with_text=with_text,
    )


@contextmanager
def shown_progress() -> Iterator[Callable[[JudgeProgress], None]]:
    """Progress on stderr: a line that changes on a terminal, else one line a file."""
    console = Console(stderr=True, highlight=False)
    began = time.monotonic()
    told = 0
    what = "reading (the first time, rules are compiled: half a minute)"
    with console.status(what) if console.is_terminal else nullcontext() as status:

        def tell(progress: JudgeProgress) -> None:
            nonlocal told
            seconds = max(time.monotonic() - began, 1e-3)
            line = (
                f"file {progress.file_number} of {progress.num_files}: {progress.documents:,} documents, "
                f"{progress.documents_kept:,} kept, {progress.text_bytes / 1e6 / seconds:.0f} MB/s"
            )
            if status is not None:
                status.update(line)
            elif progress.file_number > told:
                told = progress.file_number
                console.print(line, markup=False, soft_wrap=True)

        yield tell


def _measured_by_model(filters: FilterParameters) -> Measuring | None:
    """The perplexity under an exported model: packages beside each other meet here."""
    model = filters.perplexity.model
    if model is None or "perplexity" not in filters.measured() or kind_of(model) != "export":
        return None
    from model.scoring import score_texts  # torch takes seconds to import

    def measured(texts: pa.ChunkedArray) -> Signals:
        return signals_from(score_texts(model, texts))

    return measured
