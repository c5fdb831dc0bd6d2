"""Signatures, exact similarities and whole decisions on a GPU beside the compiled kernels, with the same bits.

    python tests/benchmarks/bench_dedup_device.py [--rounds N] [--megabytes N] [--permutations N ...] [--json FILE]

needs ../shared/data. Without a GPU it says so and times torch's CPU device, where only the equality tells anything:
that is not what the program does on a machine without a GPU.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

PROJECT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(PROJECT / "tests" / "support"))

from flows.compiled import keep_compiled_kernels  # noqa: E402

keep_compiled_kernels()

import numpy as np  # noqa: E402
import pyarrow as pa  # noqa: E402
import torch  # noqa: E402
from labelled_duplicates import labelled_duplicates  # noqa: E402
from text_collection import PART, TextCollection  # noqa: E402

from pipeline_lib.dedup.device_signatures import fingerprint_on_device  # noqa: E402
from pipeline_lib.dedup.device_verification import SetsOnDevice  # noqa: E402
from pipeline_lib.dedup.engine import find_duplicates  # noqa: E402
from pipeline_lib.dedup.parameters import DedupParameters  # noqa: E402
from pipeline_lib.kernels.arrow import string_buffers  # noqa: E402
from pipeline_lib.kernels.bands import set_similarity  # noqa: E402
from pipeline_lib.kernels.fold_tables import fold_tables  # noqa: E402
from pipeline_lib.kernels.shingles import fingerprint, permutations, shingle_sets  # noqa: E402

NGRAM = 5
TEXT_CHARS = 4000
NEVER = 1e-12  # a threshold that lets the kernel count to the end

Result = TypeVar("Result")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--megabytes", type=float, default=20.0, help="of text")
    parser.add_argument("--permutations", type=int, nargs="*", default=[112, 9000], help="9000: RefinedWeb's")
    parser.add_argument("--pairs", type=int, default=20_000, help="of sets, compared")
    parser.add_argument("--scale", type=float, default=10.0, help="of the labelled set, 2,400 documents at 1")
    parser.add_argument("--json", type=Path, help="write the figures here, too")
    options = parser.parse_args()

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    name = torch.cuda.get_device_name() if device.type == "cuda" else "torch's CPU device"
    if device.type == "cpu":
        torch.set_num_threads(1)  # one core for either
        print("no GPU here: the times beside the kernels' are those of torch's CPU device, for equality alone")
    texts = real_texts(options.megabytes)
    megabytes = sum(len(text.encode()) for text in texts) / 1e6
    print(f"{len(texts)} texts, {megabytes:.1f} MB, {options.rounds} rounds; {name}")
    data, offsets = string_buffers(pa.array(texts, pa.large_string()))
    figures: dict[str, Any] = {"device": name, "is_gpu": device.type == "cuda"}
    for num_permutations in options.permutations:
        figures[f"signatures, {num_permutations} permutations"] = compare_signatures(
            data, offsets, num_permutations, device, megabytes, options.rounds
        )
    figures["similarities"] = compare_similarities(data, offsets, device, options.pairs, options.rounds)
    figures["decisions"] = compare_decisions(device, options.scale, options.rounds)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


def real_texts(megabytes: float) -> list[str]:
    """Pieces of real texts as long as pages are."""
    texts: list[str] = []
    left = megabytes * 1e6
    for language in ("en_mixed", "ja_mixed", "ru_novels"):
        path = PROJECT.parent / "shared" / "data" / "text" / f"{language}.jsonl.zst"
        share = left if language == "ru_novels" else megabytes * 1e6 / 2
        with pa.CompressedInputStream(str(path), "zstd") as stream:
            lines = stream.read().decode().split("\n")[:-1]
        for line in lines:
            text = json.loads(line)["text"]
            for start in range(0, len(text), TEXT_CHARS):
                if share <= 0:
                    break
                texts.append(text[start : start + TEXT_CHARS])
                num_bytes = len(texts[-1].encode())
                share, left = share - num_bytes, left - num_bytes
    return texts


def compare_signatures(
    data: Any, offsets: Any, num_permutations: int, device: torch.device, megabytes: float, rounds: int
) -> dict[str, float]:
    factors, summands = permutations(num_permutations, 1)
    num_texts = len(offsets) - 1

    def by_kernel() -> tuple[Any, ...]:
        signatures = np.empty((num_texts, num_permutations), np.uint32)
        num_shingles = np.empty(num_texts, np.int32)
        text_hashes = np.empty((num_texts, 2), np.uint64)
        fingerprint(data, offsets, NGRAM, factors, summands, fold_tables(), signatures, num_shingles, text_hashes)
        return signatures, num_shingles, text_hashes

    def on_device() -> tuple[Any, ...]:
        return fingerprint_on_device(data, offsets, NGRAM, factors, summands, device)

    title = f"signatures, {num_permutations} permutations"
    return race(title, by_kernel, on_device, lambda seconds: f"{megabytes / seconds:9.1f} MB/s", rounds)


def compare_similarities(
    data: Any, offsets: Any, device: torch.device, num_pairs: int, rounds: int
) -> dict[str, float]:
    num_texts = len(offsets) - 1
    words = np.empty((num_texts, 1), np.uint32), np.empty(num_texts, np.int32), np.empty((num_texts, 2), np.uint64)
    fingerprint(data, offsets, NGRAM, *permutations(1, 1), fold_tables(), *words)
    room = words[1].astype(np.int64)
    starts, sizes = np.cumsum(room) - room, np.empty(num_texts, np.int64)
    shingles = np.empty(int(room.sum()), np.uint64)
    shingle_sets(data, offsets, np.arange(num_texts), words[1], NGRAM, fold_tables(), starts, sizes, shingles)
    left, right = np.random.default_rng(0).choice(np.flatnonzero(sizes), (2, num_pairs))
    sets = [shingles[start : start + size] for start, size in zip(starts.tolist(), sizes.tolist(), strict=True)]

    def by_kernel() -> tuple[Any, ...]:
        pairs = zip(left.tolist(), right.tolist(), strict=True)
        return (np.array([set_similarity(sets[i], sets[j], NEVER, False) for i, j in pairs]),)

    def on_device() -> tuple[Any, ...]:
        return (SetsOnDevice(shingles, starts, sizes, device).similarities(left, right),)

    return race("similarities", by_kernel, on_device, lambda seconds: f"{num_pairs / seconds:9,.0f} pairs/s", rounds)


def compare_decisions(device: torch.device, scale: float, rounds: int) -> dict[str, float]:
    """Of ready signatures: bands, sets, comparisons; the kernel on all cores."""
    parameters = DedupParameters(device="cpu")
    texts = labelled_duplicates(seed=1, scale=scale).texts
    documents = TextCollection(texts, parameters)

    def decide(compare_on: str | None) -> tuple[Any, ...]:
        with tempfile.TemporaryDirectory() as scratch:
            decisions = find_duplicates(documents, parameters, scratch=Path(scratch), compare_on=compare_on)
        columns = ["doc_id", "kept_id", "rule", "similarity"]
        return tuple(column.to_numpy() for column in decisions.duplicates(PART).select(columns))

    def by_kernel() -> tuple[Any, ...]:
        return decide(None)

    def on_device() -> tuple[Any, ...]:
        return decide(device.type)

    return race("decisions", by_kernel, on_device, lambda seconds: f"{len(texts) / seconds:9,.0f} docs/s", rounds)


def race(
    title: str,
    by_kernel: Callable[[], tuple[Any, ...]],
    on_device: Callable[[], tuple[Any, ...]],
    rate: Callable[[float], str],
    rounds: int,
) -> dict[str, float]:
    """Seconds of wall time of both, in turn; refuses results that differ in a bit."""
    seconds: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds + 1):  # the first one loads and compiles, and is not counted
        expected, its_seconds = timed(by_kernel)
        found, my_seconds = timed(on_device)
        for one, other in zip(expected, found, strict=True):
            if not np.array_equal(one, other):
                raise AssertionError(f"{title}: the device gives other values than the kernel")
        seconds[0].append(its_seconds)
        seconds[1].append(my_seconds)
    kernel, device = (statistics.median(each[1:]) for each in seconds)
    print(f"{title:<34} kernel {rate(kernel)}, device {rate(device)}, {kernel / device:6.2f} times, same bits")
    return {"kernel_seconds": kernel, "device_seconds": device, "ratio": kernel / device}


def timed(work: Callable[[], Result]) -> tuple[Result, float]:
    began = time.perf_counter()
    result = work()
    return result, time.perf_counter() - began


if __name__ == "__main__":
    main()
