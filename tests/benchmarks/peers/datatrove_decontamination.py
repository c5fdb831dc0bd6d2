"""datatrove's own n-gram decontamination as a process beside ours; how jobs look: `peer_jobs.py`.

    {"documents": "texts.jsonl", "items": "items.jsonl", "fields": ["question", "answer"], "ngrams": 12,
     "words": "default"}

Answers `dropped`: whether each text is. An item's fields are its texts of their own, with nothing across them. The
index is made before the clock starts. `words`: "default" (spaCy's English) or "whitespace".
"""

import json
from functools import cache
from pathlib import Path

from datatrove.data import Document
from datatrove.pipeline.decont.n_grams import NGramsDecontConfig, NGramsDecontFilter, NGramsDecontIndexer
from peer_jobs import Job, answer_jobs


class Whitespace:
    """In place of a word tokenizer."""

    def word_tokenize(self, text: str) -> list[str]:
        return text.split()


@cache
def prepared(items: str, fields: tuple[str, ...], ngrams: int, words: str) -> NGramsDecontFilter:
    NGramsDecontIndexer._requires_dependencies = []  # it asks for lighteval, which only names tasks
    config = NGramsDecontConfig(n_grams=ngrams)
    indexer = NGramsDecontIndexer(output_folder="/nonexistent", config=config)
    asked = NGramsDecontFilter(index_folder="/nonexistent", config=config)
    if words == "whitespace":
        indexer.tokenizer = asked.tokenizer = Whitespace()
    hashes: dict[int, str] = {}
    with Path(items).open(encoding="utf-8") as stream:
        for line in stream:
            item = json.loads(line)
            for field in fields:
                hashes.update(dict.fromkeys(indexer.compute_hashes(item[field]), "items"))
    asked._index_hashes = hashes
    return asked


def do(job: Job, texts: list[str]) -> dict[str, object]:
    asked = prepared(job["items"], tuple(job["fields"]), job["ngrams"], job["words"])
    return {"dropped": [asked.filter(Document(text=text, id="")) is not True for text in texts]}


if __name__ == "__main__":
    answer_jobs(do)
