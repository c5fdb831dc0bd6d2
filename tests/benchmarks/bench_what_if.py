"""How long `gristmill what-if` takes on a million documents: the whole command, its start and imports included.

    python tests/benchmarks/bench_what_if.py [--documents N] [--rounds N]

needs ../shared/data. The store is made of real documents of the mini crawl, drawn again and again, their texts cut to
1,500 characters and their signals moved by up to 3 %; it is kept in `.bench/` for the next time (0.7 GB a million).
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(PROJECT / "tests" / "support"))

from flows.compiled import keep_compiled_kernels  # noqa: E402

keep_compiled_kernels()

import numpy as np  # noqa: E402
import pyarrow as pa  # noqa: E402
import pyarrow.compute as pc  # noqa: E402
import pyarrow.parquet as pq  # noqa: E402
from published_stages import document_row, publish_stage  # noqa: E402
from real_documents import mini_crawl_documents  # noqa: E402

from flows.code_digest import code_digest  # noqa: E402
from pipeline_lib.filters.measuring import Documents, measure  # noqa: E402
from pipeline_lib.filters.parameters import FilterParameters, signal_parameters  # noqa: E402
from pipeline_lib.filters.stage import judge_part  # noqa: E402
from storage.accounts import Account  # noqa: E402
from storage.manifests import Part, PartResult, PartWriter, PublishedStage, publish_manifest  # noqa: E402
from storage.runs import Run, StageOutcome, save_run  # noqa: E402
from storage.schemas import DOCUMENTS, document_id, signals_schema  # noqa: E402
from storage.store import Store  # noqa: E402

PART_DOCUMENTS = 25_000
MAX_CHARS = 1_500
SECONDS, MEGABYTES = 5.0, 2_000  # asked for a million documents


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    store = _store(options.documents)
    command = [sys.executable, "-m", "flows.cli", "what-if", "latest", "--store", str(store), "--json"]
    command += ["--set", "filters.gopher_quality.min_words=80"]
    seconds = []
    for number in range(options.rounds + 1):
        began = time.perf_counter()
        answer = subprocess.run(command, capture_output=True, text=True, check=True, cwd=PROJECT, env=dict(os.environ))
        if number:  # the first one compiles, and brings the files into memory
            seconds.append(time.perf_counter() - began)
    assert json.loads(answer.stdout)
    megabytes = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024 / 1e6
    median = statistics.median(seconds)
    missed = "" if median < SECONDS and megabytes < MEGABYTES else "  MISSED"
    print(
        f"what-if, {options.documents:,} documents: {median:.1f} s ({min(seconds):.1f} to {max(seconds):.1f}), "
        f"{megabytes:.0f} MB; asked: {SECONDS:.0f} s, {MEGABYTES} MB{missed}"
    )


def _store(num_documents: int) -> Path:
    folder = PROJECT / ".bench" / f"what-if-{num_documents}-{code_digest(['pipeline_lib.filters.stage'])[:16]}"
    if not (folder / "runs").exists():
        _make(Store(str(folder)), num_documents)
    return folder


def _make(store: Store, num_documents: int) -> None:
    source = pq.read_table(mini_crawl_documents(PROJECT.parent / "shared" / "data", PROJECT / ".bench"))
    filters = FilterParameters()
    signals = measure(Documents(texts=source["text"]), filters).signals
    signals["language_score"] = np.full(len(source), 0.9)
    excerpts = pc.utf8_slice_codeunits(source["text"], 0, MAX_CHARS)
    plain = document_row(0, text="")
    parts = [Part(name=f"part-{k:05d}") for k in range(max(1, num_documents // PART_DOCUMENTS))]
    rows = num_documents // len(parts)

    def drawn(part: Part) -> tuple[np.random.Generator, pa.Array, pa.Array]:
        number = int(part.name.removeprefix("part-"))
        generator = np.random.default_rng(number)
        ids = pa.array([document_id(part.name, row) for row in range(rows)])
        return generator, pa.array(generator.integers(0, len(source), rows)), ids

    def extract(part: Part, output: PartWriter) -> PartResult:
        _, chosen, ids = drawn(part)
        columns = {name: pa.array([plain[name]] * rows, DOCUMENTS.field(name).type) for name in DOCUMENTS.names}
        columns |= {"doc_id": ids, "text": excerpts.take(chosen)}
        columns |= {name: source[name].take(chosen) for name in ("url", "language")}
        output.table("documents", pa.table(columns).cast(DOCUMENTS), DOCUMENTS)
        return PartResult(account=Account(documents_in=rows, documents_out=rows))

    def measured(part: Part, output: PartWriter) -> PartResult:
        generator, chosen, ids = drawn(part)
        moved = {
            name: signals[name][chosen.to_numpy()] * (generator.uniform(0.97, 1.03, rows) if "ratio" in name else 1.0)
            for name in filters.signals()
        }
        output.table("signals", pa.table({"doc_id": ids, **moved}), signals_schema(list(moved)))
        return PartResult(account=Account(documents_in=rows, documents_out=rows))

    stages: dict[str, PublishedStage] = {}
    for name, work, parameters in (
        ("extract", extract, {}),
        ("signals", measured, asdict(signal_parameters(filters))),
        ("judge", lambda part, output: judge_part(part, stages, output, filters), asdict(filters)),
    ):
        stages[name] = publish_stage(store, name, parts, work, parameters=json.loads(json.dumps(parameters)))
        publish_manifest(store, stages[name].manifest)
    outcomes = [
        StageOutcome(name=name, key=stage.manifest.key, account=stage.manifest.account, reused=False, seconds=0.0)
        for name, stage in stages.items()
    ]
    save_run(
        store,
        Run(
            run_id="million",
            recipe_name="million",
            recipe={"filters": json.loads(json.dumps(asdict(filters)))},
            recipe_digest="",
            created_at="2026-01-01T00:00:00Z",
            status="completed",
            stages=outcomes,
        ),
    )


if __name__ == "__main__":
    main()
