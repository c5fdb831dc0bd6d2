"""datatrove's MinHash dedup as a process beside ours, told what to do on stdin, one JSON object a line.

`{"do": "sign", "documents": "texts.jsonl", "every": 1}`: shingles and signatures of texts, as its first step computes
them; nothing is written.
`{"do": "prepare", "signatures": "signatures.npy", "folder": "empty/"}`: writes signatures as its first step would.
`{"do": "cluster", "folder": "prepared/"}`: its second and third step on those.
`{"do": "dedup", "documents": ["part.jsonl", …], "folder": "empty/", "out": "kept/"}`: the whole pipeline, one task
after another. Documents have `text` and `id`; what is kept is written to `out`.

`"words"` is `whitespace` or `default` (spaCy). Bands and hashes are datatrove's defaults, 14 of 8, which are FineWeb's.
Only ready signatures are of 32-bit hashes, as ours are.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "support"))

import numpy as np
from datatrove.pipeline.dedup.minhash import (
    MinhashConfig,
    MinhashDedupBuckets,
    MinhashDedupCluster,
    MinhashDedupFilter,
    MinhashDedupSignature,
)
from datatrove.pipeline.readers import JsonlReader
from datatrove.pipeline.writers import JsonlWriter
from datatrove.utils.hashing import HashConfig
from loguru import logger
from measured_work import measured
from peer_jobs import Job, answer_each, texts_of

BANDS, ROWS = 14, 8


class WhitespaceWords:
    """Stands in for the tokenizer of a language."""

    def word_tokenize(self, text: str) -> list[str]:
        return text.split()


def do(job: Job) -> dict[str, object]:
    return {"sign": _sign, "prepare": _prepare, "cluster": _cluster, "dedup": _dedup}[job["do"]](job)


def _signer(folder: Path, words: str) -> MinhashDedupSignature:
    signer = MinhashDedupSignature(str(folder), config=MinhashConfig())
    if words == "whitespace":
        signer.word_tokenizer = WhitespaceWords()
    return signer


def _sign(job: Job) -> dict[str, object]:
    texts = texts_of(job)
    signer = _signer(Path(job["folder"]), job["words"])
    with measured() as cost:
        for text in texts:
            shingles = signer.get_shingles(text)
            if shingles.size:
                signer.get_signature(shingles)
    return cost.as_answer()


def _prepare(job: Job) -> dict[str, object]:
    values = np.load(job["signatures"], mmap_mode="r")
    for band in range(BANDS):
        records = np.empty((len(values), ROWS + 1), "<u4")
        records[:, :ROWS] = values[:, band * ROWS : (band + 1) * ROWS]
        records[:, ROWS] = np.arange(len(values))
        order = np.lexsort([records[:, row] for row in range(ROWS - 1, -1, -1)])
        bucket = Path(job["folder"]) / "signatures" / f"bucket_{band:03d}"
        bucket.mkdir(parents=True)
        records[order].tofile(bucket / "00000.minhash.sig")
    return {}


def _cluster(job: Job) -> dict[str, object]:
    with measured() as cost:
        removed = _cluster_signatures(Path(job["folder"]), MinhashConfig(hash_config=HashConfig(precision=32)))
    return {**cost.as_answer(), "removed": removed}


def _cluster_signatures(folder: Path, config: MinhashConfig) -> int:
    for task in range(BANDS):
        MinhashDedupBuckets(str(folder / "signatures"), str(folder / "buckets"), config=config).run(None, task, BANDS)
    MinhashDedupCluster(str(folder / "buckets"), str(folder / "removed"), config=config).run(None, 0, 1)
    return sum(file.stat().st_size // 4 for file in (folder / "removed").glob("*.remove"))


def _dedup(job: Job) -> dict[str, object]:
    files, folder = [Path(file) for file in job["documents"]], Path(job["folder"])
    sources = {file.parent for file in files}
    assert len(sources) == 1, "expected all documents in one folder"
    source = str(sources.pop())

    def read(task: int) -> JsonlReader:
        return JsonlReader(source, glob_pattern="*.jsonl").run(rank=task, world_size=len(files))

    with measured() as cost:
        for task in range(len(files)):
            _signer(folder / "signatures", job["words"]).run(read(task), task, len(files))
        removed = _cluster_signatures(folder, MinhashConfig())
        for task in range(len(files)):
            kept = MinhashDedupFilter(str(folder / "removed")).run(read(task), task, len(files))
            for _ in JsonlWriter(job["out"], compression=None).run(kept, task, len(files)):
                pass
    return {**cost.as_answer(), "removed": removed}


if __name__ == "__main__":
    logger.remove()
    answer_each(do)
