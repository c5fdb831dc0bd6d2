"""Our own dedup as a process like those of the peers: told what to do on stdin, one JSON object a line.

`{"do": "dedup", "documents": "texts.jsonl", "parameters": {"threshold": 0.8}}`: from texts to the numbers of the
documents that are removed.
`{"do": "cluster", "signatures": "signatures.npy", "scratch": "folder/"}`: candidates and components of
ready signatures, read a piece at a time.
`{"do": "steps", "documents": ["part.jsonl", …], "scratch": "folder/"}`: what each step costs: reading texts from
Parquet, signing them, and deciding (bands, components, reading candidates again, comparing).
"""

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(PROJECT / "tests" / "support"), str(PROJECT / "tests" / "benchmarks" / "peers")]

from flows.compiled import keep_compiled_kernels  # noqa: E402

keep_compiled_kernels()

import numpy as np  # noqa: E402
import numpy.typing as npt  # noqa: E402
import pyarrow as pa  # noqa: E402
import pyarrow.parquet as pq  # noqa: E402
from measured_work import measured  # noqa: E402
from peer_jobs import Job, answer_each, texts_of  # noqa: E402
from text_collection import PART, TextCollection  # noqa: E402

from pipeline_lib.dedup.candidates import candidate_components  # noqa: E402
from pipeline_lib.dedup.engine import find_duplicates  # noqa: E402
from pipeline_lib.dedup.parameters import DedupParameters  # noqa: E402

PIECE = 1 << 16


def do(job: Job) -> dict[str, object]:
    return {"dedup": _dedup, "cluster": _cluster, "steps": _steps}[job["do"]](job)


def _dedup(job: Job) -> dict[str, object]:
    texts = texts_of(job)
    parameters = DedupParameters(**job["parameters"])
    _removed(texts[:50], parameters)  # compiles, or loads what is compiled
    with measured() as cost:
        removed = _removed(texts, parameters)
    return {**cost.as_answer(), "removed": removed}


def _removed(texts: list[str], parameters: DedupParameters) -> list[int]:
    with tempfile.TemporaryDirectory() as scratch:
        decisions = find_duplicates(TextCollection(texts, parameters), parameters, scratch=Path(scratch))
        kept = set(decisions.kept_rows(PART).tolist())
    return [number for number in range(len(texts)) if number not in kept]


def _steps(job: Job) -> dict[str, object]:
    texts = [text for file in job["documents"] for text in texts_of({"documents": file})]
    parameters = DedupParameters()
    scratch = Path(job["scratch"])
    _removed(texts[:50], parameters)
    pq.write_table(pa.table({"text": pa.array(texts, pa.large_string())}), scratch / "texts.parquet", "zstd")
    with measured() as reading:
        column = pq.read_table(scratch / "texts.parquet", use_threads=False)["text"]
    with measured() as signing:
        collection = TextCollection(column, parameters)
    with measured() as deciding:
        decisions = find_duplicates(collection, parameters, scratch=scratch)
    return {
        "reading": reading.as_answer(),
        "signing": signing.as_answer(),
        "deciding": deciding.as_answer(),
        "text_bytes": sum(len(text.encode()) for text in texts),
        "documents": len(texts),
        "metrics": dict(decisions.metrics),
    }


def _cluster(job: Job) -> dict[str, object]:
    banding = DedupParameters().banding()
    scratch = Path(job["scratch"])
    few = np.zeros((10, banding.num_permutations), np.uint32)
    candidate_components([few], banding, scratch=scratch)  # compiles, or loads what is compiled
    with measured() as cost:
        components = candidate_components(_pieces(Path(job["signatures"])), banding, scratch=scratch)
        removed = int(np.count_nonzero(components != np.arange(len(components))))
    return {**cost.as_answer(), "removed": removed}


def _pieces(path: Path) -> Iterator[npt.NDArray[np.uint32]]:
    """Rows of an .npy file: read, not mapped, so that memory that only holds pages of the file is not counted."""
    whole = np.load(path, mmap_mode="r")
    (count, width), offset = whole.shape, whole.offset
    for start in range(0, count, PIECE):
        rows = min(PIECE, count - start)
        yield np.fromfile(path, np.uint32, rows * width, offset=offset + 4 * start * width).reshape(rows, width)


if __name__ == "__main__":
    answer_each(do)
