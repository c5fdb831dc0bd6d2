"""Memory: how much a machine has, how much a worker may use, and how much it will need.

What workers need was measured, twenty times a second, on runs of one worker over pages of real sites: once a WARC file
with 5.3 MB of extracted text, once one with 40.5 MB (5,912 documents). MiB that the worker process held for itself, at
most, in each stage (it keeps from stage to stage what it has imported, and the kernels it has compiled):

    stage         5.3 MB   40.5 MB
    extract          201       288
    signals          200       335
    signatures       190       303
    dedup            260       343
    embeddings       355       364
    semantic         398       443
    lines            405       460
    corpus           419       487
    tokenizer        445       587
    encode             -       522

So a worker is about 450 MB itself, and needs up to 4 bytes for each byte of a part's text (signals:
135 MiB more for 35 MB more). Beside it the process that reads pages held 190 to 243 MiB.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import psutil

if TYPE_CHECKING:
    from flows.recipe import Recipe

_CGROUP_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
_USABLE_RATIO = 0.9
_LEAST_WORKER_BYTES = 64 << 20
_WORKER_BYTES = 450_000_000  # as measured above: itself,
_BYTES_FOR_A_TEXT_BYTE = 4  # for the part,
_PAGE_WORKER_BYTES = 255_000_000  # and beside it
_TOKENIZER_BYTES_FOR_A_SAMPLE_BYTE = 4
_LARGEST_TEXT_BYTES = 250_000_000  # of a whole file of a crawl: Common Crawl's WET files hold 150 to 250 MB of text


@dataclass(frozen=True, kw_only=True)
class ResourceParameters:
    """What the work may take of a machine. None of it shapes what a run makes.

    Attributes:
        worker_memory_bytes: memory that a worker process may use for itself; one that uses more is ended, and its part
            is tried once more, alone. The pages' own processes have `extract.max_page_memory_bytes` beside it. null:
            the workers of a machine share nine tenths of its memory; those of a cluster that has an address have no
            bound but the cluster's.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    worker_memory_bytes: int | None = None

    def __post_init__(self) -> None:
        if self.worker_memory_bytes is not None and self.worker_memory_bytes < _LEAST_WORKER_BYTES:
            raise ValueError(
                f"worker_memory_bytes={self.worker_memory_bytes}: a worker that does nothing uses about 100 MB; "
                f"expected at least {_LEAST_WORKER_BYTES}"
            )


def worker_bound(worker_memory_bytes: int | None, workers: int, alone: bool) -> int:
    """What one of the workers of this machine may use: its own bound, or an equal share of what there is.

    Args:
        alone: the others do nothing meanwhile: it may use what all of them may, as far as the machine has it.
    """
    usable = usable_memory_bytes()
    each = usable // workers if worker_memory_bytes is None else worker_memory_bytes
    return max(each, min(each * workers, usable)) if alone else each


def usable_memory_bytes() -> int:
    """Nine tenths of the machine's memory, or of the container's where that has less."""
    total = psutil.virtual_memory().total
    for path in _CGROUP_LIMITS:
        try:
            total = min(total, int(path.read_text()))
        except (OSError, ValueError):  # not there, or "max"
            continue
    return int(total * _USABLE_RATIO)


def memory_of_worker(recipe: "Recipe", text_bytes: int = _LARGEST_TEXT_BYTES) -> int:
    """Bytes that one worker and its page reader need for the stages that are worked on part by part.

    Args:
        text_bytes: extracted text in the largest part; by default that of a whole file of a crawl.
    """
    needed = _WORKER_BYTES + _BYTES_FOR_A_TEXT_BYTE * text_bytes
    bound = recipe.resources.worker_memory_bytes
    return (needed if bound is None else bound) + _PAGE_WORKER_BYTES


def workers_that_fit(recipe: "Recipe", memory_bytes: int, text_bytes: int = _LARGEST_TEXT_BYTES) -> int:
    """How many workers a machine with so much memory has room for; 0 where it is too small for this recipe.

    The stages over a whole corpus are one part each, and have the machine for themselves; any page may come to use all
    that one may.
    """
    usable = int(memory_bytes * _USABLE_RATIO)
    if _WORKER_BYTES + _whole_corpus_bytes(recipe) > usable:
        return 0
    one_large_page = max(0, recipe.extract.max_page_memory_bytes - _PAGE_WORKER_BYTES)
    return max(0, (usable - one_large_page) // memory_of_worker(recipe, text_bytes))


def _whole_corpus_bytes(recipe: "Recipe") -> int:
    """What the largest of the stages needs that read the whole corpus at once, by their own parameters."""
    needed = [recipe.dedup.memory_bytes]
    if recipe.semantic.enabled:
        needed.append(recipe.semantic.memory_bytes)
    if recipe.lines.enabled:
        needed.append(recipe.lines.memory_bytes)
    if recipe.goal != "corpus":
        needed.append(_TOKENIZER_BYTES_FOR_A_SAMPLE_BYTE * recipe.tokenizer.sample_bytes)
    return max(needed)
