"""How fast duplicates are found, beside datatrove, datasketch and rensa: in turn, on the same texts or signatures.

    python tests/benchmarks/bench_dedup.py [--only NAME]… [--rounds N] [--large] [--json FILE]

needs ../shared/data and the peers' environment (`make bench` sees to that). Three comparisons:
`signatures`: word 5-grams, 112 permutations, on texts of the mini crawl, one core, CPU time. Ours starts from the
texts. datasketch and rensa know no words: shingles are made for them in Python, or by us; that is counted, but where
they are `given` something;
`bands`: candidates and components of a million ready signatures, 14 bands of 8 (`--large`: of 5 and 20 million too, for
which 9 GB of disk are needed, and how the time grows), CPU time and memory;
`command`: `gristmill dedup`, as a user calls it, on 100,000 documents, every removal verified, beside datatrove's four
steps, which verify none; one worker each. `--words default` gives datatrove its own words, spaCy's, which take minutes.
Absolute times on a busy machine say little: the ratio of each round is taken, and the median reported with the spread.
"""

import argparse
import json
import math
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(PROJECT / "tests" / "support"))

from flows.compiled import keep_compiled_kernels  # noqa: E402

keep_compiled_kernels()

import numpy as np  # noqa: E402
import psutil  # noqa: E402
import pyarrow as pa  # noqa: E402
import pyarrow.parquet as pq  # noqa: E402
from measured_work import measured  # noqa: E402
from peer_process import PeerProcess  # noqa: E402
from real_dedup_corpus import real_dedup_corpus  # noqa: E402
from real_documents import mini_crawl_documents  # noqa: E402
from synthetic_signatures import synthetic_signatures  # noqa: E402

from pipeline_lib.dedup.parameters import DedupParameters  # noqa: E402
from pipeline_lib.kernels.arrow import string_buffers  # noqa: E402
from pipeline_lib.kernels.fold_tables import fold_tables  # noqa: E402
from pipeline_lib.kernels.shingles import fingerprint, permutations, shingle_sets  # noqa: E402

SHARED_DATA, CACHE = PROJECT.parent / "shared" / "data", PROJECT / ".bench"
OWN = PROJECT / "tests" / "benchmarks" / "own_dedup.py"
PARAMETERS = DedupParameters()
BANDING = PARAMETERS.banding()
SIZES, LARGE_SIZES = (1_000_000,), (1_000_000, 5_000_000, 20_000_000)
DATASKETCH_SIZE = 100_000

Figures = dict[str, Any]


@dataclass
class Contestant:
    """Whom our signatures are measured beside.

    Attributes:
        with_shingling: whether the time of our own shingling counts as the peer's, who cannot do without.
        asked: the ratio that is asked for.
        seconds: CPU time by round.
    """

    name: str
    peer: PeerProcess
    job: Figures
    with_shingling: bool = False
    asked: float | None = None
    seconds: list[float] = field(default_factory=list)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="of signatures; the others take a third as many")
    parser.add_argument("--megabytes", type=float, default=3.0, help="of text to sign")
    parser.add_argument("--only", action="append", choices=["signatures", "bands", "command"], help="repeatable")
    parser.add_argument("--documents", type=int, default=100_000, help="for the command")
    parser.add_argument(
        "--words", choices=["whitespace", "default"], default="whitespace", help="of datatrove's command"
    )
    parser.add_argument("--large", action="store_true", help="5 and 20 million signatures, too")
    parser.add_argument("--json", type=Path, help="write the figures here, too")
    options = parser.parse_args()

    chosen = options.only or ["signatures", "bands", "command"]
    figures: Figures = {}
    CACHE.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as folder:
        if "signatures" in chosen:
            figures["signatures"] = _signatures(Path(folder), options.megabytes, options.rounds)
        if "bands" in chosen:
            figures["bands"] = _bands(Path(folder), LARGE_SIZES if options.large else SIZES, options.rounds)
        if "command" in chosen:
            figures["command"] = _command(Path(folder), options.documents, options.words, math.ceil(options.rounds / 3))
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


def _signatures(folder: Path, megabytes: float, rounds: int) -> Figures:
    table = pq.read_table(mini_crawl_documents(SHARED_DATA, CACHE), columns=["text"])
    step = max(1, round(table["text"].nbytes / (megabytes * 1e6)))
    texts = table["text"].combine_chunks().take(pa.array(np.arange(0, table.num_rows, step)))
    documents = folder / "texts.jsonl"
    documents.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts.to_pylist()), encoding="utf-8")
    data, offsets = string_buffers(texts)
    megabytes = (offsets[-1] - offsets[0]) / 1e6
    num_shingles = _sign(data, offsets, BANDING.num_permutations)
    sets = _save_sets(folder, data, offsets, num_shingles)
    print(f"signatures: {len(texts)} documents, {megabytes:.1f} MB, {num_shingles.sum():,} shingles, {rounds} rounds")
    print(f"{'':<42}{'MB/s':>9}{'ratio':>8}{'least':>8}{'most':>8}{'asked':>7}")

    def ours(num_permutations: int) -> float:
        return statistics.median(_cpu_seconds(lambda: _sign(data, offsets, num_permutations)) for _ in range(5))

    with (
        PeerProcess("datatrove_dedup.py") as datatrove,
        PeerProcess("datasketch_dedup.py") as datasketch,
        PeerProcess("rensa_dedup.py") as rensa,
    ):
        texts_job = {"do": "sign", "documents": str(documents)}
        trove = {**texts_job, "folder": str(folder / "trove")}
        hashes = {**sets, "permutations": BANDING.num_permutations}
        contestants = [
            Contestant("datatrove, whitespace words", datatrove, {**trove, "words": "whitespace"}, asked=50),
            Contestant("datatrove, default words, 1 text of 8", datatrove, {**trove, "words": "default", "every": 8}),
            Contestant("datasketch, shingles by Python", datasketch, {**texts_job, "given": "texts"}, asked=30),
            Contestant("datasketch, given byte strings", datasketch, {**texts_job, "given": "strings"}),
            Contestant("datasketch, given 32-bit hashes", datasketch, {**texts_job, "given": "hashes"}),
            Contestant("rensa, shingles by Python", rensa, {**texts_job, **hashes, "given": "texts"}),
            Contestant("rensa, given strings", rensa, {**texts_job, **hashes, "given": "strings"}),
            Contestant("rensa, after our hashes of shingles", rensa, {**hashes, "given": "hashes"}, True, asked=2),
            Contestant("rensa, given our hashes of shingles", rensa, {**hashes, "given": "hashes"}),
        ]
        own: list[float] = []
        words_alone: list[float] = []
        for number in range(rounds + 1):
            whole, shingling = ours(BANDING.num_permutations), ours(0)
            for each in contestants:
                seconds = each.peer.ask(**each.job)["cpu_seconds"] * each.job.get("every", 1)
                if number:  # the first round loads and warms up
                    each.seconds.append(seconds + each.with_shingling * shingling)
            if number:
                own.append(whole)
                words_alone.append(shingling)
    speed, shingling_speed = megabytes / statistics.median(own), megabytes / statistics.median(words_alone)
    print(f"{'ours, from texts':<42}{speed:>9.1f}")
    print(f"{'  no permutations: words and hashes alone':<42}{shingling_speed:>9.1f}")
    return {
        "ours_megabytes_per_second": speed,
        "shingling_megabytes_per_second": shingling_speed,
        **{each.name: _compare(each, own, megabytes) for each in contestants},
    }


def _sign(data: Any, offsets: Any, num_permutations: int) -> Any:
    factors, summands = permutations(num_permutations, PARAMETERS.seed)
    signatures = np.empty((len(offsets) - 1, num_permutations), np.uint32)
    num_shingles = np.empty(len(signatures), np.int32)
    text_hashes = np.empty((len(signatures), 2), np.uint64)
    fingerprint(
        data, offsets, PARAMETERS.ngram, factors, summands, fold_tables(), signatures, num_shingles, text_hashes
    )
    return num_shingles


def _save_sets(folder: Path, data: Any, offsets: Any, num_shingles: Any) -> Figures:
    """The distinct shingle hashes of each text, one after another, as rensa takes them."""
    starts = np.cumsum(num_shingles, dtype=np.int64) - num_shingles
    sizes = np.empty(len(num_shingles), np.int64)
    shingles = np.empty(int(num_shingles.sum()), np.uint64)
    rows = np.arange(len(num_shingles))
    shingle_sets(data, offsets, rows, num_shingles, PARAMETERS.ngram, fold_tables(), starts, sizes, shingles)
    sets = [shingles[start : start + size] for start, size in zip(starts, sizes, strict=True)]
    hashes, bounds = folder / "hashes.npy", folder / "offsets.npy"
    np.save(hashes, np.concatenate(sets))
    np.save(bounds, np.concatenate([[0], np.cumsum(sizes)]).astype(np.uint64))
    return {"do": "sign", "hashes": str(hashes), "offsets": str(bounds)}


def _compare(contestant: Contestant, own: Sequence[float], megabytes: float) -> Figures:
    ratios = [their / my for my, their in zip(own, contestant.seconds, strict=True)]
    asked = contestant.asked
    figure = {
        "megabytes_per_second": megabytes / statistics.median(contestant.seconds),
        "ratio": statistics.median(ratios),
        "least": min(ratios),
        "most": max(ratios),
        "asked": asked,
    }
    missed = asked is not None and figure["ratio"] < asked
    print(
        f"{contestant.name:<42}{figure['megabytes_per_second']:>9.2f}{figure['ratio']:>8.1f}{figure['least']:>8.1f}"
        f"{figure['most']:>8.1f}{'' if asked is None else f'{asked:.0f}':>7}{'  MISSED' if missed else ''}"
    )
    return figure


def _bands(folder: Path, sizes: Sequence[int], rounds: int) -> Figures:
    figures: Figures = {"own": {}}
    print(f"\nbands and components, {BANDING.bands} bands of {BANDING.rows}")
    print(f"{'':<40}{'documents':>12}{'CPU s':>9}{'MB':>8}{'removable':>12}")
    ratios: dict[str, list[float]] = {"datatrove": [], "datasketch": []}
    few = synthetic_signatures(folder / "few.npy", DATASKETCH_SIZE, BANDING.num_permutations)
    for size in sizes:
        path = synthetic_signatures(folder / f"{size}.npy", size, BANDING.num_permutations)
        times = []
        for number in range(math.ceil(rounds / 3)):
            own = _own_components(path, folder)
            times.append(own["cpu_seconds"])
            _print_bands("ours", size, own)
            if size != sizes[0]:
                continue
            work = folder / f"trove-{number}"
            with PeerProcess("datatrove_dedup.py") as peer:
                peer.ask(do="prepare", signatures=str(path), folder=str(work))
            with PeerProcess("datatrove_dedup.py") as peer:
                trove = peer.ask(do="cluster", folder=str(work))
            _print_bands("datatrove, buckets and cluster", size, trove)
            ratios["datatrove"].append(trove["cpu_seconds"] / own["cpu_seconds"])
            small = _own_components(few, folder)
            _print_bands("ours", DATASKETCH_SIZE, small)
            with PeerProcess("datasketch_dedup.py") as peer:
                sketch = peer.ask(do="cluster", signatures=str(few))
            _print_bands("datasketch, MinHashLSH", DATASKETCH_SIZE, sketch)
            ratios["datasketch"].append(sketch["cpu_seconds"] / small["cpu_seconds"])
        figures["own"][size] = {**own, "cpu_seconds": statistics.median(times)}
        path.unlink()
    for name, asked in (("datatrove", 30.0), ("datasketch", 50.0)):
        found = statistics.median(ratios[name])
        figures[name] = {"ratio": found, "least": min(ratios[name]), "most": max(ratios[name]), "asked": asked}
        print(f"{name:<40}{found:>12.1f} times our CPU time, asked {asked:.0f}{'' if found >= asked else '  MISSED'}")
    if len(sizes) > 1:
        seconds = [figures["own"][size]["cpu_seconds"] for size in sizes]
        figures["exponent"] = float(np.polyfit(np.log(sizes), np.log(seconds), 1)[0])
        print(f"time grows as documents to the power of {figures['exponent']:.3f}, asked: less than 1.1")
    return figures


def _own_components(signatures: Path, scratch: Path) -> Figures:
    with PeerProcess(OWN, sys.executable) as own:
        return own.ask(do="cluster", signatures=str(signatures), scratch=str(scratch))


def _print_bands(name: str, size: int, answer: Figures) -> None:
    print(
        f"{name:<40}{size:>12,}{answer['cpu_seconds']:>9.2f}{answer['peak_megabytes']:>8.0f}{answer['removed']:>12,}",
        flush=True,
    )


def _command(folder: Path, num_documents: int, words: str, rounds: int) -> Figures:
    files = real_dedup_corpus(SHARED_DATA, CACHE, num_documents)
    _own_command(real_dedup_corpus(SHARED_DATA, CACHE, 100), folder / "first")  # compiles, or loads what is compiled
    megabytes = sum(file.stat().st_size for file in files) / 1e6
    print(f"\ngristmill dedup: {num_documents:,} documents, {megabytes:.0f} MB in {len(files)} JSON Lines files")
    print(f"{'':<40}{'CPU s':>9}{'wall s':>9}{'MB':>8}{'removed':>10}")
    cpu_ratios, wall_ratios = [], []
    for number in range(rounds):
        own = _own_command(files, folder / f"own-{number}")
        _print_command("ours, start and imports included", own)
        with PeerProcess("datatrove_dedup.py") as peer:
            trove = peer.ask(
                do="dedup",
                documents=[str(file) for file in files],
                folder=str(folder / f"trove-{number}"),
                out=str(folder / f"kept-{number}"),
                words=words,
            )
        _print_command(f"datatrove, {words} words", trove)
        cpu_ratios.append(trove["cpu_seconds"] / own["cpu_seconds"])
        wall_ratios.append(trove["wall_seconds"] / own["wall_seconds"])
    steps = _steps(files, folder)
    ratio, asked = statistics.median(cpu_ratios), 20.0
    print(
        f"datatrove takes {ratio:.1f} times our CPU time ({min(cpu_ratios):.1f} to {max(cpu_ratios):.1f}), "
        f"{statistics.median(wall_ratios):.1f} times our wall time; asked {asked:.0f}"
        f"{'' if ratio >= asked else '  MISSED'}"
    )
    return {
        "ratio": ratio,
        "least": min(cpu_ratios),
        "most": max(cpu_ratios),
        "asked": asked,
        "own": own,
        "steps": steps,
    }


def _steps(files: Sequence[Path], folder: Path) -> Figures:
    """Our own steps one by one: what a larger corpus will take follows from these."""
    with PeerProcess(OWN, sys.executable) as own:
        steps = own.ask(do="steps", documents=[str(file) for file in files], scratch=str(folder))
    megabytes, documents, metrics = steps["text_bytes"] / 1e6, steps["documents"], steps["metrics"]
    print(
        f"ours by step: reading Parquet {megabytes / steps['reading']['cpu_seconds']:.0f} MB/s, signing "
        f"{megabytes / steps['signing']['cpu_seconds']:.0f} MB/s, deciding "
        f"{1e6 * steps['deciding']['cpu_seconds'] / documents:.1f} us a document of {1e6 * megabytes / documents:.0f} "
        f"bytes, {metrics['candidate_documents'] / documents:.0%} of them candidates, "
        f"{metrics['pairs_compared']:,} pairs compared, {metrics['spilled_bytes'] / 1e6:.0f} MB of scratch"
    )
    return steps


def _own_command(files: Sequence[Path], out: Path) -> Figures:
    """Costs of the command with all its processes; memory is the most that all had at once."""
    command = [sys.executable, "-m", "flows.cli", "dedup", *map(str, files), "--workers", "1", "--out", str(out)]
    with (
        tempfile.TemporaryFile() as said,
        measured() as cost,
        subprocess.Popen(command, stdout=said, stderr=said, cwd=PROJECT) as process,
    ):
        peak = _peak_bytes(process)
        if process.returncode:
            said.seek(0)
            raise RuntimeError(f"{' '.join(command)} ended with code {process.returncode}: {said.read().decode()}")
    removed = sum(pq.read_metadata(file).num_rows for file in (out / "decisions").rglob("*.parquet"))
    return {**cost.as_answer(), "peak_megabytes": peak / 1e6, "removed": removed}


def _peak_bytes(process: subprocess.Popen[bytes]) -> int:
    """Wait for the end of a process, and look at the memory of it and its children twenty times a second."""
    peak = 0
    root = psutil.Process(process.pid)
    while process.poll() is None:
        total = 0
        for each in (root, *_children(root)):
            with suppress(psutil.NoSuchProcess):
                total += each.memory_info().rss
        peak = max(peak, total)
        time.sleep(0.05)
    return peak


def _children(process: psutil.Process) -> list[psutil.Process]:
    with suppress(psutil.NoSuchProcess):
        return process.children(recursive=True)
    return []


def _print_command(name: str, answer: Figures) -> None:
    print(
        f"{name:<40}{answer['cpu_seconds']:>9.1f}{answer['wall_seconds']:>9.1f}{answer['peak_megabytes']:>8.0f}"
        f"{answer['removed']:>10,}",
        flush=True,
    )


def _cpu_seconds(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


if __name__ == "__main__":
    main()
