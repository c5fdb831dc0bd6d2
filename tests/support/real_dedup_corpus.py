"""A corpus to deduplicate of any size: pieces of real texts, and near-duplicates of them."""

import json
import random
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from real_documents import mini_crawl_documents

TEXTS = ("en_mixed", "en_books", "fr_eltec", "de_eltec", "es_eltec", "pt_eltec")
WORDS, STEP = 400, 200
COPIES = 0.3
EDIT_RATES = (0.0, 0.005, 0.02, 0.05, 0.1)


def real_dedup_corpus(shared_data: Path, cache: Path, num_documents: int, num_files: int = 4) -> list[Path]:
    """JSON Lines files of documents with `id` and `text`, in a folder of their own; made once.

    Most are pages of the mini crawl and stretches of 400 words of books and articles, each overlapping the next by
    half. Three of ten are near-duplicates of others: copies of which none to a tenth of the words are changed.
    """
    folder = cache / f"dedup-corpus-{num_documents}"
    files = [folder / f"{number:05d}.jsonl" for number in range(num_files)]
    if folder.exists():
        return files
    rng = random.Random(0)
    originals = list(_originals(shared_data, cache, round((1 - COPIES) * num_documents)))
    copies = [_edited(rng.choice(originals), rng) for _ in range(num_documents - len(originals))]
    documents = [*originals, *copies]
    rng.shuffle(documents)
    unfinished = folder.with_suffix(".partial")
    unfinished.mkdir(parents=True, exist_ok=True)
    for number, file in enumerate(files):
        with (unfinished / file.name).open("w", encoding="utf-8") as stream:
            for at in range(number, len(documents), num_files):
                stream.write(json.dumps({"id": f"{at:08d}", "text": documents[at]}, ensure_ascii=False) + "\n")
    unfinished.rename(folder)
    return files


def _originals(shared_data: Path, cache: Path, count: int) -> Iterator[str]:
    pages: list[str] = pq.read_table(mini_crawl_documents(shared_data, cache), columns=["text"])["text"].to_pylist()
    yield from pages[:count]
    left = count - len(pages)
    for name in TEXTS:
        with pa.input_stream(shared_data / "text" / f"{name}.jsonl.zst", compression="zstd") as stream:
            rows = [json.loads(line) for line in stream.read().splitlines()]
        for row in rows:
            words = row["text"].split(" ")
            for start in range(0, max(1, len(words) - STEP), STEP):
                if left <= 0:
                    return
                yield " ".join(words[start : start + WORDS])
                left -= 1
    if left > 0:
        raise ValueError(f"the shared texts hold {count - left} documents, {count} are asked for")


def _edited(text: str, rng: random.Random) -> str:
    """A copy in which words, about as many of all as one of EDIT_RATES says, are others of the same text."""
    words = text.split(" ")
    rate = rng.choice(EDIT_RATES)
    for _ in range(round(rate * len(words))):
        words[rng.randrange(len(words))] = rng.choice(words)
    return " ".join(words)
