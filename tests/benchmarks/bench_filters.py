"""How fast documents are judged, beside datatrove: both on the same real pages, in turn, one core each, in CPU time.

    python tests/benchmarks/bench_filters.py [--rounds N] [--megabytes N] [--json FILE]

needs ../shared/data and the peers' environment (`make bench` sees to that). Absolute times on a busy machine say
little: the ratio of each round is taken, and their median reported with its spread.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(PROJECT / "tests" / "support"))

from flows.compiled import keep_compiled_kernels  # noqa: E402

keep_compiled_kernels()

import numpy as np  # noqa: E402
import pyarrow as pa  # noqa: E402
import pyarrow.parquet as pq  # noqa: E402
from peer_process import PeerProcess  # noqa: E402
from real_documents import mini_crawl_documents  # noqa: E402

from flows.filter_settings import load_filters  # noqa: E402
from pipeline_lib.filters.measuring import Documents, measure  # noqa: E402


@dataclass(frozen=True, kw_only=True)
class Race:
    """One comparison: our rules, the peer's filters, and the ratio that is asked for."""

    name: str
    rules: str
    filters: tuple[str, ...]
    words: str
    at_least: float


FINEWEB = ("gopher_repetition", "gopher_quality", "c4", "fineweb_quality")
RACES = (
    Race(name="FineWeb's rules, default words", rules="fineweb", filters=FINEWEB, words="default", at_least=100),
    Race(name="FineWeb's rules, whitespace", rules="fineweb", filters=FINEWEB, words="whitespace", at_least=20),
    Race(
        name="Gopher repetition, whitespace",
        rules="gopher-repetition",
        filters=("gopher_repetition",),
        words="whitespace",
        at_least=40,
    ),
    Race(name="C4, whitespace", rules="c4-fineweb", filters=("c4",), words="whitespace", at_least=50),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--megabytes", type=float, default=3.0, help="of text, drawn evenly from the mini crawl")
    parser.add_argument("--json", type=Path, help="write the figures here, too")
    options = parser.parse_args()

    texts = _documents(options.megabytes)
    megabytes = sum(len(text.encode()) for text in texts) / 1e6
    print(f"{len(texts)} documents, {megabytes:.1f} MB, {options.rounds} rounds")
    print(f"{'':<34}{'ours MB/s':>10}{'peer MB/s':>10}{'ratio':>8}{'least':>8}{'most':>8}{'asked':>7}")
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder, PeerProcess("datatrove_filters.py") as peer:
        path = Path(folder) / "texts.jsonl"
        path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), encoding="utf-8")
        for race in RACES:
            figures[race.name] = _run(race, texts, megabytes, path, peer, options.rounds)
    figures["2 threads"] = _threads(_column(texts * 4), options.rounds)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


def _documents(megabytes: float) -> list[str]:
    table = pq.read_table(
        mini_crawl_documents(PROJECT.parent / "shared" / "data", PROJECT / ".bench"), columns=["text"]
    )
    step = max(1, round(table["text"].nbytes / (megabytes * 1e6)))
    texts: list[str] = table["text"].to_pylist()[::step]
    return texts


def _column(texts: list[str]) -> pa.ChunkedArray:
    return pa.chunked_array([pa.array(texts, pa.large_string())])


def _run(race: Race, texts: list[str], megabytes: float, path: Path, peer: PeerProcess, rounds: int) -> dict[str, Any]:
    filters = load_filters(race.rules, words="punct" if race.words == "default" else "whitespace")
    column = _column(texts)

    def ours() -> float:
        return _cpu_seconds(lambda: measure(Documents(texts=column), filters))

    job = {"documents": str(path), "first": 0, "last": len(texts), "filters": race.filters, "words": race.words}
    ours()  # compiles, or loads what is compiled
    peer.ask(**{**job, "last": 20})
    our_seconds, peer_seconds = [], []
    for _ in range(rounds):
        our_seconds.append(statistics.median(ours() for _ in range(9)))
        peer_seconds.append(float(peer.ask(**job)["cpu_seconds"]))
    ratios = [theirs / mine for mine, theirs in zip(our_seconds, peer_seconds, strict=True)]
    figure = {
        "ours_megabytes_per_second": megabytes / statistics.median(our_seconds),
        "peer_megabytes_per_second": megabytes / statistics.median(peer_seconds),
        "ratio": statistics.median(ratios),
        "least": min(ratios),
        "most": max(ratios),
        "asked": race.at_least,
    }
    print(
        f"{race.name:<34}{figure['ours_megabytes_per_second']:>10.1f}{figure['peer_megabytes_per_second']:>10.2f}"
        f"{figure['ratio']:>8.1f}{figure['least']:>8.1f}{figure['most']:>8.1f}{race.at_least:>7.0f}"
        f"{'' if figure['ratio'] >= race.at_least else '  MISSED'}"
    )
    return figure


def _threads(column: pa.ChunkedArray, rounds: int) -> dict[str, float]:
    """Wall time of one thread over that of two, each with half of the documents."""
    filters = load_filters("fineweb")
    middle = int(np.searchsorted(np.cumsum(pa.compute.binary_length(column).to_numpy()), column.nbytes // 2))
    halves = [Documents(texts=column.slice(0, middle)), Documents(texts=column.slice(middle))]
    ratios = []
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda half: measure(half, filters), halves))
        for _ in range(max(rounds, 9)):
            one = _wall_seconds(lambda: [measure(half, filters) for half in halves])
            two = _wall_seconds(lambda: list(pool.map(lambda half: measure(half, filters), halves)))
            ratios.append(one / two)
    print(f"{'2 threads against 1':<54}{statistics.median(ratios):>8.2f}{min(ratios):>8.2f}{max(ratios):>8.2f}{1.8:>7}")
    return {"ratio": statistics.median(ratios), "least": min(ratios), "most": max(ratios), "asked": 1.8}


def _cpu_seconds(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def _wall_seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
