"""rensa (Rust) as a process beside ours, on one thread, told what to do on stdin, one JSON object a line.

`{"do": "sign", "permutations": 112, "given": "hashes", "hashes": "hashes.npy", "offsets": "offsets.npy"}`: signatures
of sets of ready 64-bit shingle hashes, by its batch interface for flat buffers.
`{"do": "sign", "permutations": 112, "given": "texts", "documents": "texts.jsonl"}`: of sets of strings that are made
while the clock runs; given `strings`, before.
`{"do": "dedup", "documents": "texts.jsonl", "threshold": 0.8, "permutations": 128}`: from texts to the numbers of the
documents that are removed, by its deduplicator, which checks candidates by their estimated similarity.
Shingles are ours: of words of ASCII letters and digits.
"""

import os
import sys
from pathlib import Path

os.environ["RAYON_NUM_THREADS"] = "1"
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "support"))

import numpy as np
from measured_work import measured
from peer_jobs import Job, answer_each, texts_of
from plain_shingles import shingles_of
from rensa import RMinHash, RMinHashDeduplicator

SEED = 1


def do(job: Job) -> dict[str, object]:
    if job["do"] == "dedup":
        return _dedup(job)
    return _sign_hashes(job) if job["given"] == "hashes" else _sign_strings(job)


def _sign_hashes(job: Job) -> dict[str, object]:
    hashes, offsets = np.load(job["hashes"]), np.load(job["offsets"])
    with measured() as cost:
        matrix = RMinHash.digest_matrix_from_flat_token_hashes(hashes, offsets, job["permutations"], SEED)
    return {**cost.as_answer(), "documents": matrix.len()}


def _sign_strings(job: Job) -> dict[str, object]:
    texts = texts_of(job)
    sets = [] if job["given"] == "texts" else [list(shingles_of(text)) for text in texts]
    with measured() as cost:
        each = sets or [list(shingles_of(text)) for text in texts]
        matrix = RMinHash.digest_matrix_from_token_sets(each, job["permutations"], SEED)
    return {**cost.as_answer(), "documents": matrix.len()}


def _dedup(job: Job) -> dict[str, object]:
    texts = texts_of(job)
    with measured() as cost:
        deduplicator = RMinHashDeduplicator(
            threshold=job["threshold"], num_perm=job["permutations"], use_lsh=True, seed=SEED
        )
        sets = ((str(number), list(shingles_of(text))) for number, text in enumerate(texts))
        signed = [each for each in sets if each[1]]
        kept = deduplicator.add_pairs(signed)
        removed = [int(number) for (number, _), stays in zip(signed, kept, strict=True) if not stays]
    return {**cost.as_answer(), "removed": removed}


if __name__ == "__main__":
    answer_each(do)
