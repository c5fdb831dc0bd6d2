"""How fast evaluation items are looked for, and how many are found, beside datatrove: the same real texts with real
items planted in them, in turn, one core each, in CPU time.

    python tests/benchmarks/bench_decontamination.py [--rounds N] [--megabytes N] [--json FILE]

needs ../shared/data and the peers' environment (`make bench` sees to that). Absolute times on a busy machine say
little: the ratio of each round is taken, and their median reported with its spread. datatrove drops a document for one
n-gram of 12 words, ours for half of an item's n-grams of 13.
"""

import argparse
import io
import json
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(PROJECT / "tests" / "support"))

from flows.compiled import keep_compiled_kernels  # noqa: E402

keep_compiled_kernels()

import pyarrow as pa  # noqa: E402
from peer_process import PeerProcess  # noqa: E402

from pipeline_lib.decontaminate.evaluation_files import find_sets  # noqa: E402
from pipeline_lib.decontaminate.items import EvaluationItems, read_sets  # noqa: E402
from pipeline_lib.decontaminate.matching import decide, find_hits, match_items  # noqa: E402
from pipeline_lib.decontaminate.parameters import DecontaminationParameters, EvaluationSet  # noqa: E402

PARAMETERS = DecontaminationParameters()
FIELDS = ("question", "answer")
PLANTED = 240
AT_LEAST = 20


def shuffled(text: str, generator: random.Random) -> str:
    words = text.split()
    return " ".join(generator.sample(words, len(words)))


# what is planted, of (question, answer), and whether it is the item; None where people may disagree
SPELLINGS: tuple[tuple[str, Callable[[str, str, random.Random], str], bool | None], ...] = (
    ("whole", lambda question, answer, generator: f"{question}\n{answer}", True),
    ("the question", lambda question, answer, generator: question, True),
    ("in capitals", lambda question, answer, generator: question.upper(), True),
    ("other punctuation", lambda question, answer, generator: question.replace(" ", " - ", 9).replace(".", "!"), True),
    ("other numbers", lambda question, answer, generator: question.translate(str.maketrans("2345", "5432")), None),
    ("15 words of it", lambda question, answer, generator: " ".join(question.split()[:15]), None),
    ("other order", lambda question, answer, generator: shuffled(question, generator), False),
    ("nothing", lambda question, answer, generator: "", False),
)


_ANSWERS = {True: "", False: " (not the item)", None: " (?)"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--megabytes", type=float, default=3.0, help="of text, in which items are planted")
    parser.add_argument("--json", type=Path, help="write the figures here, too")
    options = parser.parse_args()

    data = PROJECT.parent / "shared" / "data"
    questions = list(_lines(data / "eval" / "math_gsm8k" / "train.jsonl.zst"))
    texts, planted = _planted(
        [row["text"] for row in _lines(data / "text" / "en_mixed.jsonl.zst")], questions, options.megabytes
    )
    megabytes = sum(len(text.encode()) for text in texts) / 1e6
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder, PeerProcess("datatrove_decontamination.py") as peer:
        documents, items_file = Path(folder) / "texts.jsonl", Path(folder) / "items.jsonl"
        documents.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), encoding="utf-8")
        items_file.write_text("".join(json.dumps(row) + "\n" for row in questions), encoding="utf-8")
        began = time.process_time()
        items = read_sets(find_sets([EvaluationSet(paths=(str(items_file),), fields=FIELDS)]), PARAMETERS.ngrams())
        print(f"{len(questions):,} items, {items.num_ngrams:,} n-grams: {time.process_time() - began:.1f} s to index")
        print(f"{len(texts)} documents, {megabytes:.1f} MB, {options.rounds} rounds")
        column = pa.chunked_array([pa.array(texts, pa.large_string())])
        for words in ("default", "whitespace"):
            job = {
                "documents": str(documents), "items": str(items_file), "fields": FIELDS, "ngrams": 12, "words": words,
            }  # fmt: skip
            figures[words] = _race(column, items, megabytes, peer, job, options.rounds)
        figures["found"] = {
            "ours": _found(_ours(column, items), planted),
            "datatrove": _found(peer.ask(**{**job, "words": "default"})["dropped"], planted),
        }
    _print_found(figures["found"])
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


def _planted(
    texts: list[str], questions: list[dict[str, str]], megabytes: float
) -> tuple[list[str], dict[int, tuple[str, bool | None]]]:
    """Texts of about so many megabytes with an item in some, and what was planted in each of these."""
    step = max(1, round(sum(map(len, texts)) / (megabytes * 1e6)))
    texts = texts[::step]
    generator = random.Random(3)
    long = [row for row in questions if len(row["question"].split()) > 30 and len(row["answer"].split()) > 20]
    places = generator.sample(range(len(texts)), min(PLANTED, len(texts)))
    planted = {}
    for number, (place, row) in enumerate(zip(places, generator.sample(long, len(places)), strict=True)):
        name, spell, is_item = SPELLINGS[number % len(SPELLINGS)]
        middle = texts[place].find(" ", len(texts[place]) // 2)
        spelled = spell(row["question"], row["answer"], generator)
        texts[place] = f"{texts[place][:middle]}\n{spelled}\n{texts[place][middle:]}"
        planted[place] = (name, is_item)
    return texts, planted


def _ours(column: pa.ChunkedArray, items: EvaluationItems) -> list[bool]:
    documents = pa.table({"doc_id": pa.array(range(len(column))).cast(pa.string()), "text": column})
    held = decide(match_items(documents, find_hits(documents, items), items).table, PARAMETERS.threshold)
    dropped = set(held["doc_id"].to_pylist())
    return [str(row) in dropped for row in range(len(column))]


def _race(
    column: pa.ChunkedArray,
    items: EvaluationItems,
    megabytes: float,
    peer: PeerProcess,
    job: dict[str, Any],
    rounds: int,
) -> dict[str, float]:
    def ours() -> float:
        began = time.process_time()
        _ours(column, items)
        return time.process_time() - began

    ours()
    peer.ask(**{**job, "every": 50})  # makes its index, and loads its words
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
    }
    print(
        f"against datatrove, {job['words']} words: ours {figure['ours_megabytes_per_second']:.1f} MB/s, peer "
        f"{figure['peer_megabytes_per_second']:.2f} MB/s, ratio {figure['ratio']:.1f} "
        f"({figure['least']:.1f} to {figure['most']:.1f}){'' if figure['ratio'] >= AT_LEAST else '  MISSED'}"
    )
    return figure


def _found(dropped: list[bool], planted: dict[int, tuple[str, bool | None]]) -> dict[str, Any]:
    """Precision and recall over all texts where nobody disagrees, and the share of each spelling that is dropped."""
    is_item = [planted.get(row, ("", False))[1] for row in range(len(dropped))]
    right = sum(each for each, true in zip(dropped, is_item, strict=True) if true)
    num_dropped = sum(each for each, true in zip(dropped, is_item, strict=True) if true is not None)
    by_spelling: dict[str, list[bool]] = {}
    for row, (name, _) in planted.items():
        by_spelling.setdefault(name, []).append(dropped[row])
    return {
        "precision": right / max(1, num_dropped),
        "recall": right / sum(true is True for true in is_item),
        "dropped": {name: statistics.mean(each) for name, each in by_spelling.items()},
    }


def _print_found(found: dict[str, Any]) -> None:
    print(f"{'dropped of what was planted':<34}{'ours':>10}{'datatrove':>12}")
    for name, _, is_item in SPELLINGS:
        shares = [found[who]["dropped"][name] for who in ("ours", "datatrove")]
        print(f"{name + _ANSWERS[is_item]:<34}{shares[0]:>10.2f}{shares[1]:>12.2f}")
    for name in ("precision", "recall"):
        print(f"{name:<34}{found['ours'][name]:>10.3f}{found['datatrove'][name]:>12.3f}")


def _lines(path: Path) -> list[dict[str, Any]]:
    with pa.CompressedInputStream(pa.OSFile(str(path)), "zstd") as stream:
        return [json.loads(line) for line in io.BytesIO(stream.read())]


if __name__ == "__main__":
    main()
