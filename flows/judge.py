"""`gristmill judge`: rules on anyone's files, without a run and without Prefect."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path

import pyarrow as pa

from flows.file_progress import told_by_file
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
    with told_by_file("reading (the first time, rules are compiled: half a minute)") as tell:
        yield lambda progress: tell(
            progress.file_number,
            lambda seconds: (
                f"file {progress.file_number} of {progress.num_files}: {progress.documents:,} documents, "
                f"{progress.documents_kept:,} kept, {progress.text_bytes / 1e6 / seconds:.0f} MB/s"
            ),
        )


def _measured_by_model(filters: FilterParameters) -> Measuring | None:
    """The perplexity under an exported model: packages beside each other meet here."""
    model = filters.perplexity.model
    if model is None or "perplexity" not in filters.measured() or kind_of(model) != "export":
        return None
    from model.scoring import score_texts  # torch takes seconds to import

    def measured(texts: pa.ChunkedArray) -> Signals:
        return signals_from(score_texts(model, texts))

    return measured
