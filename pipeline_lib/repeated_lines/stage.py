"""The stages `line-counts` (which units the documents of a part have), `repeated-lines` (which are in too many
documents, over all parts) and `lines` (take them out).

Nothing depends on what part a document is in. Text is read twice, a part at a time. The counts of all parts are merged
within a given memory; what a part has to know of them afterwards is as large as the part.
"""

from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipeline_lib.kernels.text_units import Places
from pipeline_lib.repeated_lines.counting import COLUMNS, count_units, keyed_units
from pipeline_lib.repeated_lines.merging import Totals, add_up, is_repeated
from pipeline_lib.repeated_lines.parameters import RepeatedLinesParameters, UnitParameters
from pipeline_lib.repeated_lines.removal import remove_repeated
from pipeline_lib.survivors import Trail, read_survivors, trail_of
from storage.accounts import Account
from storage.manifests import Part, PartResult, PartWriter, PublishedStage
from storage.schemas import DECISIONS, EDITS, REPEATED_EXAMPLES, REPEATED_UNITS
from storage.scratch import scratch_folder

COUNTS, REPEATED = "line-counts", "repeated-lines"

_NUM_EXAMPLES, _EXAMPLE_CHARS = 100, 1000
_REPEATED = np.dtype([("unit", "<u8"), ("first", "<u8"), ("documents", "<i8")])
_EXAMPLE = np.dtype([*_REPEATED.descr, ("scope_documents", "<i8"), ("run", "<i8")])
_Examples = npt.NDArray[np.void]


def count_part(
    part: Part, inputs: Mapping[str, PublishedStage], output: PartWriter, parameters: UnitParameters
) -> PartResult:
    """Count the units of a part's documents: reads the stages of the trail so far; writes the file `runs`."""
    documents = read_survivors(trail_of(inputs), part.name, COLUMNS)
    counts = count_units(documents, parameters)
    with output.file("runs", f"{part.name}.counts", rows=len(counts)) as path:
        counts.tofile(path)
    return PartResult(
        account=Account(documents_in=documents.num_rows, documents_out=documents.num_rows),
        metrics={
            "units": int(np.count_nonzero(counts["unit"])),
            "scopes": int(np.count_nonzero(counts["unit"] == 0)),
            "text_bytes": pc.sum(pc.binary_length(documents["text"]).cast(pa.int64())).as_py() or 0,
        },
    )


def repeated_part(
    part: Part, inputs: Mapping[str, PublishedStage], output: PartWriter, parameters: RepeatedLinesParameters
) -> PartResult:
    """Add up the counts of all parts: reads `line-counts` and, for the examples, the stages of the trail; writes
    `units`, one file for every part of `line-counts`, and `examples`."""
    counts = inputs[COUNTS]
    parts = counts.part_names
    num_units = num_repeated = num_occurrences = 0
    examples: _Examples = np.empty(0, _EXAMPLE)
    with ExitStack() as open_files:
        scratch = open_files.enter_context(scratch_folder(output.store, "lines"))
        runs = [open_files.enter_context(counts.local_file("runs", name)) for name in parts]
        for totals in add_up(runs, parameters.memory_bytes):
            repeated = is_repeated(totals, parameters)
            num_units += int(np.count_nonzero(totals.units))
            num_repeated += int(np.count_nonzero(repeated))
            num_occurrences += int(np.sum(totals.documents[repeated]))
            records = np.flatnonzero(repeated[totals.record_totals])
            for number, found in _by_run(totals, records):
                with (scratch / str(number)).open("ab") as file:
                    found.tofile(file)
            examples = _most_frequent(np.concatenate([examples, _examples(totals, records)]))
        for number, name in enumerate(parts):
            path = scratch / str(number)
            units = np.fromfile(path, _REPEATED) if path.exists() else np.empty(0, _REPEATED)
            table = pa.table({name: units[name].copy() for name in REPEATED_UNITS.names}, schema=REPEATED_UNITS)
            output.table("units", table, REPEATED_UNITS, part=name)
    output.table("examples", _with_texts(examples, parts, trail_of(inputs), parameters.units()), REPEATED_EXAMPLES)
    num_documents = counts.manifest.account.documents_out
    return PartResult(
        account=Account(documents_in=num_documents, documents_out=num_documents),
        metrics={"units": num_units, "repeated_units": num_repeated, "repeated_occurrences": num_occurrences},
    )


def lines_part(
    part: Part, inputs: Mapping[str, PublishedStage], output: PartWriter, parameters: RepeatedLinesParameters
) -> PartResult:
    """Take the repeated units out of a part's documents: reads the stages of the trail so far and `repeated-lines`;
    writes `edits`, and `decisions` over the documents of which nothing is left."""
    documents = read_survivors(trail_of(inputs), part.name, COLUMNS)
    removal = remove_repeated(documents, inputs[REPEATED].read("units", part.name, REPEATED_UNITS), parameters)
    output.table("edits", removal.edits, EDITS)
    output.table("decisions", removal.decisions, DECISIONS)
    num_dropped = removal.decisions.num_rows
    return PartResult(
        account=Account(
            documents_in=documents.num_rows,
            documents_out=documents.num_rows - num_dropped,
            dropped={f"only_repeated_{parameters.unit}s": num_dropped},
        ),
        metrics={
            "units": removal.num_units,
            "units_removed": removal.num_removed,
            "bytes_removed": removal.bytes_removed,
            "documents_edited": removal.documents_edited,
        },
    )


def _by_run(totals: Totals, records: Places) -> list[tuple[int, npt.NDArray[np.void]]]:
    """Of repeated units, what each run that has them has to know, as `_REPEATED`."""
    records = records[np.argsort(totals.record_runs[records], kind="stable")]
    found = np.empty(len(records), _REPEATED)
    unit = totals.record_totals[records]
    found["unit"], found["first"], found["documents"] = totals.units[unit], totals.firsts[unit], totals.documents[unit]
    runs, starts = np.unique(totals.record_runs[records], return_index=True)
    return list(zip(runs.tolist(), np.split(found, starts[1:]), strict=True)) if len(runs) else []


def _examples(totals: Totals, records: Places) -> _Examples:
    """Repeated units with the run of their first document, as `_EXAMPLE`; only those that may be shown."""
    unit = totals.record_totals[records]
    records = records[totals.record_firsts[records] == totals.firsts[unit]]
    unit, place = np.unique(totals.record_totals[records], return_index=True)  # two runs only where two turns are equal
    found = np.empty(len(unit), _EXAMPLE)
    for name in ("documents", "scope_documents"):
        found[name] = getattr(totals, name)[unit]
    found["unit"], found["first"] = totals.units[unit], totals.firsts[unit]
    found["run"] = totals.record_runs[records[place]]
    return _most_frequent(found)


def _most_frequent(examples: _Examples) -> _Examples:
    order = np.lexsort((examples["unit"], -examples["documents"]))
    chosen: _Examples = examples[order[:_NUM_EXAMPLES]]
    return chosen


def _with_texts(examples: _Examples, parts: list[str], trail: Trail, parameters: UnitParameters) -> pa.Table:
    """The examples as `REPEATED_EXAMPLES`, in order; reads the parts that have them first, one at a time."""
    rows: list[dict[str, Any]] = [{} for _ in examples]
    for number in np.unique(examples["run"]).tolist():
        documents = read_survivors(trail, parts[number], COLUMNS)
        found = keyed_units(documents, parameters)
        texts = found.units.texts()
        for place in np.flatnonzero(examples["run"] == number).tolist():
            example = examples[place]
            (at, *_) = np.flatnonzero((found.keys == example["unit"]) & (found.turns[texts] == example["first"]))
            document = documents.slice(int(texts[at]), 1).to_pylist()[0]
            unit = document["text"].encode()[found.units.starts[at] : found.units.ends[at]].decode()
            rows[place] = {
                "doc_id": document["doc_id"],
                "host": document["host"],
                "text": unit[:_EXAMPLE_CHARS],
                "documents": int(example["documents"]),
                "scope_documents": int(example["scope_documents"]),
            }
    return pa.Table.from_pylist(rows, schema=REPEATED_EXAMPLES)
