"""What dedup removes wrongly and what it misses, beside datatrove, datasketch, text-dedup's way and rensa, and what it
costs: on documents whose similarities are all known.

    python tests/benchmarks/bench_dedup_quality.py [--scale X] [--seed N] [--threshold T] [--json FILE]

needs the peers' environment (`make bench` sees to that); real pages join where ../shared/data is there.

Precision: of the documents removed, those of which a kept one is truly as similar as the threshold. Recall: of those
rightly removed and those that should have been (in the order given, each that resembles an earlier one that stays;
texts of fewer words than a shingle apart), the former. Seconds are CPU time from texts to decisions, of one process;
memory is what that process grew by meanwhile.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(PROJECT / "tests" / "support"))

from flows.compiled import keep_compiled_kernels  # noqa: E402

keep_compiled_kernels()

from labelled_duplicates import LabelledDocuments, labelled_duplicates  # noqa: E402
from peer_process import PeerProcess  # noqa: E402
from plain_shingles import NGRAM, words_of  # noqa: E402

SHARED_DATA = PROJECT.parent / "shared" / "data"
OWN = PROJECT / "tests" / "benchmarks" / "own_dedup.py"


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of the table."""

    name: str
    precision: float
    recall: float
    f1: float
    wrong: int
    missed: int
    cpu_seconds: float
    peak_megabytes: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", type=float, default=2.0, help="times 2,400 documents")
    parser.add_argument("--seed", type=int, default=11)
    parser.add_argument("--threshold", type=float, default=0.8)
    parser.add_argument("--json", type=Path, help="write the figures here, too")
    options = parser.parse_args()

    labelled = labelled_duplicates(options.seed, options.scale, SHARED_DATA if SHARED_DATA.is_dir() else None)
    num_pairs = sum(alike >= options.threshold for _, _, alike in labelled.pairs())
    print(
        f"{len(labelled.texts):,} documents, {sum(map(len, labelled.texts)) / 1e6:.1f} MB; pairs of a similarity of "
        f"{options.threshold} or more: {num_pairs:,}, of 0.5 or more: {sum(1 for _ in labelled.pairs()):,}\n"
    )
    print("| | precision | recall | F1 | removed wrongly | missed | CPU s | memory MB |")
    print("|---|---|---|---|---|---|---|---|")
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name, ask in _contestants(Path(folder), labelled, options.threshold):
            answer = ask()
            rows.append(_score(name, labelled, set(answer["removed"]), options.threshold, answer))
            _print(rows[-1])
    if options.json:
        options.json.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n", encoding="utf-8")


def _contestants(
    folder: Path, labelled: LabelledDocuments, threshold: float
) -> list[tuple[str, Callable[[], dict[str, Any]]]]:
    documents = folder / "texts" / "00000.jsonl"
    documents.parent.mkdir()
    lines = (json.dumps({"id": str(number), "text": text}) for number, text in enumerate(labelled.texts))
    documents.write_text("".join(line + "\n" for line in lines), encoding="utf-8")

    def ours(**parameters: Any) -> dict[str, Any]:
        with PeerProcess(OWN, sys.executable) as own:
            return own.ask(do="dedup", documents=str(documents), parameters={"threshold": threshold, **parameters})

    def datatrove() -> dict[str, Any]:
        work, out = folder / "datatrove", folder / "kept"
        with PeerProcess("datatrove_dedup.py") as peer:
            answer = peer.ask(
                do="dedup", documents=[str(documents)], folder=str(work), out=str(out), words="whitespace"
            )
        kept = {json.loads(line)["id"] for file in out.iterdir() for line in file.read_text().splitlines()}
        return {**answer, "removed": [number for number in range(len(labelled.texts)) if str(number) not in kept]}

    def datasketch(way: str, permutations: int) -> dict[str, Any]:
        with PeerProcess("datasketch_dedup.py") as peer:
            job = {"documents": str(documents), "threshold": threshold, "permutations": permutations, "way": way}
            return peer.ask(do="dedup", **job)

    def rensa() -> dict[str, Any]:
        with PeerProcess("rensa_dedup.py") as peer:
            return peer.ask(do="dedup", documents=str(documents), threshold=threshold, permutations=128)

    return [
        ("Gristmill, 14 bands of 8", ours),
        ("Gristmill, `recall=0.99`", lambda: ours(recall=0.99)),
        ("datatrove 0.10.1, 14 × 8", datatrove),
        ("datasketch 2.0 LSH, 128", lambda: datasketch("stream", 128)),
        ("datasketch 2.0 LSH, 128, estimate checked", lambda: datasketch("estimate", 128)),
        ("text-dedup's way, 240, on datasketch", lambda: datasketch("components", 240)),
        ("text-dedup's way, 240, with its check", lambda: datasketch("checked_components", 240)),
        ("rensa 0.5 deduplicator, 128", rensa),
    ]


def _score(name: str, labelled: LabelledDocuments, removed: set[int], threshold: float, cost: dict[str, Any]) -> Row:
    alike = [{other for other, each in others.items() if each >= threshold} for others in labelled.similar]
    wrong = sum(not alike[document] - removed for document in removed)
    staying: set[int] = set()
    missed = 0
    for document in range(len(alike)):
        if document in removed:
            continue
        if alike[document] & staying:
            missed += len(words_of(labelled.texts[document])) >= NGRAM
        else:
            staying.add(document)
    right = len(removed) - wrong
    precision, recall = right / len(removed), right / (right + missed)
    return Row(
        name=name,
        precision=precision,
        recall=recall,
        f1=2 * precision * recall / (precision + recall),
        wrong=wrong,
        missed=missed,
        cpu_seconds=cost["cpu_seconds"],
        peak_megabytes=cost["peak_megabytes"],
    )


def _print(row: Row) -> None:
    print(
        f"| {row.name} | {row.precision:.3f} | {row.recall:.3f} | {row.f1:.3f} | {row.wrong:,} | {row.missed:,} "
        f"| {row.cpu_seconds:.2f} | {row.peak_megabytes:.0f} |",
        flush=True,
    )


if __name__ == "__main__":
    main()
