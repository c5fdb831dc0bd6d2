"""datasketch as a process beside ours, told what to do on stdin, one JSON object a line.

`{"do": "sign", "documents": "texts.jsonl", "given": "texts"}`: signatures by its batch interface; of sets of shingles
that are made while the clock runs (`texts`), or before, as byte strings (`strings`) or as 32-bit hashes that are taken
as they are (`hashes`).
`{"do": "cluster", "signatures": "signatures.npy"}`: MinHashLSH on ready signatures, each asked for
those before it, and put in; who hangs together is united.
`{"do": "dedup", "documents": "texts.jsonl", "permutations": 128, "threshold": 0.8, "way": "stream"}`: from texts to
the numbers of the documents that are removed. Ways:
  `stream`: a document is removed if the index has a candidate for it, else put into the index.
  `estimate`: likewise, if one of the candidates has an estimated similarity of at least the threshold.
  `components`: as text-dedup does it: whoever shares a band is one component, of which the first stays.
  `checked_components`: as text-dedup does it with `check_false_positive`: of a component, those that are truly similar
  to any other member are one cluster, of which the first stays. (text-dedup itself is not on the package index.)
Shingles are ours: of words of ASCII letters and digits.
"""

import sys
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "support"))

import numpy as np
from datasketch import MinHash, MinHashLSH
from measured_work import measured
from peer_jobs import Job, answer_each, texts_of
from plain_shingles import shingles_of

BANDS, ROWS = 14, 8


class Forest:
    """Who hangs together: the first is the root."""

    def __init__(self, size: int) -> None:
        self.parents = list(range(size))

    def root(self, node: int) -> int:
        while self.parents[node] != node:
            self.parents[node] = self.parents[self.parents[node]]
            node = self.parents[node]
        return node

    def unite(self, one: int, other: int) -> None:
        one, other = self.root(one), self.root(other)
        self.parents[max(one, other)] = min(one, other)

    def components(self) -> Iterable[list[int]]:
        found = defaultdict(list)
        for node in range(len(self.parents)):
            found[self.root(node)].append(node)
        return found.values()


def do(job: Job) -> dict[str, object]:
    return {"sign": _sign, "cluster": _cluster, "dedup": _dedup}[job["do"]](job)


def _sign(job: Job) -> dict[str, object]:
    texts = texts_of(job)
    sets = [] if job["given"] == "texts" else [_encoded(text) for text in texts]
    hashfunc = None
    if job["given"] == "hashes":
        hashed = MinHash(scheme="affine32").hashfunc
        sets = [[hashed(shingle) for shingle in shingles] for shingles in sets]
        hashfunc = int
    with measured() as cost:
        each = sets or (_encoded(text) for text in texts)
        MinHash.bulk(each, num_perm=BANDS * ROWS, scheme="affine32", hashfunc=hashfunc)
    return cost.as_answer()


def _encoded(text: str) -> list[bytes]:
    return [shingle.encode() for shingle in shingles_of(text)]


def _cluster(job: Job) -> dict[str, object]:
    values = np.load(job["signatures"])
    with measured() as cost:
        permutations = MinHash(num_perm=BANDS * ROWS, scheme="affine32").permutations
        index = MinHashLSH(num_perm=BANDS * ROWS, params=(BANDS, ROWS))
        forest = Forest(len(values))
        for number, signature in enumerate(values):
            sketch = MinHash(seed=1, scheme="affine32", hashvalues=signature, permutations=permutations)
            for other in index.query(sketch):
                forest.unite(number, other)
            index.insert(number, sketch, check_duplication=False)
        removed = sum(forest.root(node) != node for node in range(len(values)))
    return {**cost.as_answer(), "removed": removed}


def _dedup(job: Job) -> dict[str, object]:
    texts = texts_of(job)
    way = job["way"]
    with measured() as cost:
        sets = [shingles_of(text) for text in texts]
        signed = [number for number, shingles in enumerate(sets) if shingles]
        sketches = MinHash.bulk(
            ([shingle.encode() for shingle in sets[number]] for number in signed),
            num_perm=job["permutations"],
            scheme="affine32",
        )
        index = MinHashLSH(threshold=job["threshold"], num_perm=job["permutations"])
        removed: set[int] = set()
        if way in ("stream", "estimate"):
            kept = {}
            for number, sketch in zip(signed, sketches, strict=True):
                candidates = index.query(sketch)
                if way == "estimate":
                    candidates = [each for each in candidates if kept[each].jaccard(sketch) >= job["threshold"]]
                if candidates:
                    removed.add(number)
                else:
                    kept[number] = sketch
                    index.insert(number, sketch)
        else:
            forest = Forest(len(texts))
            for number, sketch in zip(signed, sketches, strict=True):
                for other in index.query(sketch):
                    forest.unite(number, other)
                index.insert(number, sketch)
            for members in forest.components():
                if way == "checked_components" and len(members) > 1:
                    members = _similar_to_any(members, sets, job["threshold"])
                removed.update(members[1:])
    return {**cost.as_answer(), "removed": sorted(removed), "bands": [index.b, index.r]}


def _similar_to_any(members: list[int], sets: list[set[str]], threshold: float) -> list[int]:
    similar = set()
    for place, one in enumerate(members):
        for other in members[place + 1 :]:
            shared = len(sets[one] & sets[other])
            if shared / (len(sets[one]) + len(sets[other]) - shared) >= threshold:
                similar |= {one, other}
    return sorted(similar)


if __name__ == "__main__":
    answer_each(do)
