"""rensa (Rust) as a process beside ours, on one thread, told what to do on stdin, one JSON object a line.

`{"do": "sign", "hashes": "hashes.npy", "offsets": "offsets.npy", "permutations": 112, "sampled": false}`: signatures of
sets of ready 64-bit shingle hashes, by its batch interface for flat buffers. `sampled`: its faster sketch, which looks
at some shingles only.
`{"do": "sign_strings", "documents": "texts.jsonl", "every": 1, "permutations": 112}`: of prepared sets of strings.
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
    return {"sign": _sign, "sign_strings": _sign_strings, "dedup": _dedup}[job["do"]](job)


def _sign(job: Job) -> dict[str, object]:
    hashes, offsets = np.load(job["hashes"]), np.load(job["offsets"])
    sign = (
        RMinHash.digest_matrix_from_flat_token_hashes_rho
        if job["sampled"]
        else RMinHash.digest_matrix_from_flat_token_hashes
    )
    with measured() as cost:
        matrix = sign(hashes, offsets, job["permutations"], SEED)
    return {**cost.as_answer(), "documents": matrix.len()}


def _sign_strings(job: Job) -> dict[str, object]:
    sets = [list(shingles_of(text)) for text in texts_of(job)]
    with measured() as cost:
        matrix = RMinHash.digest_matrix_from_token_sets(sets, job["permutations"], SEED)
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
