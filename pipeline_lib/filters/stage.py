"""The stages `signals` (measure every document, edit its text) and `judge` (decide from the signals)."""

from collections.abc import Mapping, Sequence

import polars as pl
import pyarrow as pa
from pydantic import TypeAdapter

from pipeline_lib.filters.conditions import Signals
from pipeline_lib.filters.decide import count_broken, decide
from pipeline_lib.filters.edits import edits_table
from pipeline_lib.filters.measuring import Documents, measure
from pipeline_lib.filters.parameters import FilterParameters
from pipeline_lib.filters.rules import perplexity
from storage.accounts import Account
from storage.manifests import Manifest, Part, PartResult, PartWriter, PublishedStage
from storage.schemas import DECISIONS, DOCUMENTS, EDITS, signals_schema


def signals_part(
    part: Part, inputs: Mapping[str, PublishedStage], output: PartWriter, parameters: FilterParameters
) -> PartResult:
    """Measure the documents of a part, those too that a rule will drop; publish the edits of the rules that edit.

    Args:
        parameters: as `signal_parameters` gives them.
    """
    columns = ["doc_id", "url", "language", "language_score", "text"]
    documents = inputs["extract"].read("documents", part.name, DOCUMENTS, columns=columns)
    documents["text"].validate(full=True)  # kernels trust that it is UTF-8
    given: Signals = {}
    if "likelihood" in inputs:  # what an exported model says of the texts: the model's own stage measures that
        likelihood = inputs["likelihood"].read("signals", part.name, signals_schema(list(perplexity.SIGNALS)))
        if not documents["doc_id"].equals(likelihood["doc_id"]):
            raise ValueError(f"{part.name}: the likelihoods are not those of the extracted documents")
        given = perplexity.signals_from(likelihood[perplexity.SIGNALS[0]].to_numpy())
    measured = measure(
        Documents(
            texts=documents["text"],
            urls=documents["url"],
            languages=documents["language"],
            language_scores=documents["language_score"],
            given=given,
        ),
        parameters,
    )
    names = list(parameters.signals())
    table = pa.table({"doc_id": documents["doc_id"], **{name: measured.signals[name] for name in names}})
    output.table("signals", table, signals_schema(names))
    edits = [edits_table(documents["doc_id"], made, step) for step, made in enumerate(measured.edits)]
    output.table("edits", pa.concat_tables([EDITS.empty_table(), *edits]), EDITS)

    metrics: dict[str, dict[str, int]] = {"edits": {}, "removed_bytes": {}} if measured.edits else {}
    for made in measured.edits:
        metrics["edits"].update(made.counts())
        metrics["removed_bytes"].update(made.bytes_removed())
    return PartResult(
        account=Account(documents_in=documents.num_rows, documents_out=documents.num_rows), metrics=metrics
    )


def judge_part(
    part: Part, inputs: Mapping[str, PublishedStage], output: PartWriter, parameters: FilterParameters
) -> PartResult:
    """Decide on the documents of a part. `broken` in the metrics counts the documents that break each rule, whether or
    not another drops them first."""
    documents = inputs["extract"].read("documents", part.name, DOCUMENTS, columns=["doc_id", "language"])
    table = read_signals(inputs["signals"], part.name)
    if not documents["doc_id"].equals(table["doc_id"]):
        raise ValueError(f"{part.name}: the signals are not those of the extracted documents")
    signals = pl.DataFrame(pl.from_arrow(table.append_column("language", documents["language"])))
    conditions = parameters.conditions()
    decisions = decide(signals, conditions)
    output.table("decisions", decisions.to_arrow(compat_level=pl.CompatLevel.oldest()).cast(DECISIONS), DECISIONS)

    dropped = {str(rule): int(count) for rule, count in decisions["rule"].value_counts().iter_rows()}
    account = Account(documents_in=signals.height, documents_out=signals.height - decisions.height, dropped=dropped)
    return PartResult(account=account, metrics={"broken": count_broken(signals, conditions)})


def read_signals(signals: PublishedStage, part: str, columns: Sequence[str] | None = None) -> pa.Table:
    """The signals of a part, or some of them, with `doc_id`."""
    names = recorded_filters(signals.manifest).signals()
    wanted = None if columns is None else ["doc_id", *columns]
    return signals.read("signals", part, signals_schema(list(names)), columns=wanted)


def recorded_filters(stage: Manifest) -> FilterParameters:
    """The parameters that a signals or judge stage recorded."""
    recorded = {name: each for name, each in stage.parameters.items() if name != "identity"}
    return TypeAdapter(FilterParameters).validate_python(recorded)
