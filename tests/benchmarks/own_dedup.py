"""Our own dedup as a process like those of the peers: told what to do on stdin, one JSON object a line.

`{"do": "dedup", "documents": "texts.jsonl", "parameters": {"threshold": 0.8}}`: from texts to the numbers of the
documents that are removed.
"""

import sys
import tempfile
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(PROJECT / "tests" / "support"), str(PROJECT / "tests" / "benchmarks" / "peers")]

from flows.compiled import keep_compiled_kernels  # noqa: E402

keep_compiled_kernels()

from measured_work import measured  # noqa: E402
from peer_jobs import Job, answer_each, texts_of  # noqa: E402
from text_collection import PART, TextCollection  # noqa: E402

from pipeline_lib.dedup.engine import find_duplicates  # noqa: E402
from pipeline_lib.dedup.parameters import DedupParameters  # noqa: E402


def do(job: Job) -> dict[str, object]:
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


if __name__ == "__main__":
    answer_each(do)
