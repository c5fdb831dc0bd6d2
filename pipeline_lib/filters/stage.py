"""The stages `signals` (measure every document, edit its lines) and `judge` (decide from the signals)."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from pipeline_lib.filters import c4, fineweb_quality, gopher_quality, gopher_repetition, length
from pipeline_lib.filters.decide import count_broken, decide
from pipeline_lib.filters.parameters import SIGNALS, FilterParameters, RuleSetName, SignalParameters
from pipeline_lib.kernels.c4_lines import EDIT_RULES, LineEdits
from pipeline_lib.survivors import apply_edits
from storage.accounts import Account
from storage.manifests import Part, PartResult, PartWriter, PublishedStage
from storage.schemas import DECISIONS, DOCUMENTS, EDITS, signals_schema


def signals_part(
    part: Part, inputs: Mapping[str, PublishedStage], output: PartWriter, parameters: SignalParameters
) -> PartResult:
    """Measure the documents of a part, those too that a rule will drop; publish the edits of C4's line rules."""
    documents = inputs["extract"].read("documents", part.name, DOCUMENTS, columns=["doc_id", "language_score", "text"])
    documents["text"].validate(full=True)  # kernels trust that it is UTF-8
    edits = c4.edit_lines(documents["text"], parameters.lines)
    edits_table = c4.edits_table(documents["doc_id"], edits)
    edited = apply_edits(documents, edits_table)["text"]

    def text_for(rule_set: RuleSetName) -> pa.ChunkedArray:
        return edited if rule_set in parameters.after_line_edits else documents["text"]

    signals = {
        "num_chars": pc.utf8_length(documents["text"]).to_numpy().astype("float64"),
        "num_bytes": pc.binary_length(documents["text"]).to_numpy().astype("float64"),
        "language_score": documents["language_score"].to_numpy().astype("float64"),
        **length.measure(text_for("length")),
        **gopher_repetition.measure(text_for("gopher_repetition")),
        **gopher_quality.measure(text_for("gopher_quality"), parameters.stop_words),
        **c4.measure(edited, edits),
        **fineweb_quality.measure(text_for("fineweb_quality"), parameters.short_line_chars),
    }
    table = pa.table({"doc_id": documents["doc_id"], **{name: signals[name] for name in SIGNALS}})
    output.table("signals", table, signals_schema(list(SIGNALS)))
    output.table("edits", edits_table if parameters.publish_line_edits else EDITS.empty_table(), EDITS)

    count = documents.num_rows
    metrics = _edit_metrics(edits) if parameters.publish_line_edits else {}
    return PartResult(account=Account(documents_in=count, documents_out=count), metrics=metrics)


def judge_part(
    part: Part, inputs: Mapping[str, PublishedStage], output: PartWriter, parameters: FilterParameters
) -> PartResult:
    """Decide on the documents of a part. `broken` in the metrics counts the documents that break each rule, whether or
    not another drops them first."""
    documents = inputs["extract"].read("documents", part.name, DOCUMENTS, columns=["doc_id", "language"])
    table = inputs["signals"].read("signals", part.name, signals_schema(list(SIGNALS)))
    if not documents["doc_id"].equals(table["doc_id"]):
        raise ValueError(f"{part.name}: the signals are not those of the extracted documents")
    signals = pl.DataFrame(pl.from_arrow(table.append_column("language", documents["language"])))
    decisions = decide(signals, parameters)
    output.table("decisions", decisions.to_arrow(compat_level=pl.CompatLevel.oldest()).cast(DECISIONS), DECISIONS)

    dropped = {str(rule): int(count) for rule, count in decisions["rule"].value_counts().iter_rows()}
    account = Account(documents_in=signals.height, documents_out=signals.height - decisions.height, dropped=dropped)
    return PartResult(account=account, metrics={"broken": count_broken(signals, parameters)})


def _edit_metrics(edits: LineEdits) -> dict[str, dict[str, int]]:
    """Edits and the bytes they remove, by rule."""
    removed: npt.NDArray[np.int64] = edits.end - edits.start - edits.is_line_break
    num_edits = np.bincount(edits.rule, minlength=len(EDIT_RULES))
    num_bytes = np.bincount(edits.rule, weights=removed, minlength=len(EDIT_RULES))
    return {
        "edits": {rule: int(count) for rule, count in zip(EDIT_RULES, num_edits, strict=True)},
        "removed_bytes": {rule: int(count) for rule, count in zip(EDIT_RULES, num_bytes, strict=True)},
    }
