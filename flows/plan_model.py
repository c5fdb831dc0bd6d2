"""From what a few parts took to what all of them will: the model of a plan, without a store and without a clock.

- A stage that works part by part: parts are drawn from all parts. The total goes with the size of their files where all
  are known, else with their number: the ratio estimate of Cochran, Sampling Techniques (1977), chapter 6, with a 90 %
  interval by Student's t and the correction for a finite number of parts. What a process loads before its first part is
  counted once a worker.
- A stage that works on everything at once: a power of the documents it takes, with the exponents of `EXPONENTS`.
- Wall time on so many workers: stage after stage, the longest of: all parts shared out, one part alone, and the
  requests of the stage at the rate that the recipe allows, which all workers share.
"""

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from flows.plan_measures import PartMeasure, StageMeasure

# Of the stages that work on everything at once: time as documents to the power of. Bands and components: 0.92 from 1 to
# 20 million (pipeline_lib/dedup/README.md), and comparing goes with the text; clusters of `semantic` are as many as the
# root of the documents, and each document meets them all.
EXPONENTS = {"dedup": 1.0, "semantic": 1.5, "repeated-lines": 1.0, "select": 0.0, "evaluation-items": 0.0}
_DEFAULT_EXPONENT = 1.0
_FIXED_SECONDS = 0.5  # of a stage at once: opening and importing, whatever it is given

# Student's t, two-sided 90 %, by degrees of freedom
_T90 = (6.314, 2.920, 2.353, 2.132, 2.015, 1.943, 1.895, 1.860, 1.833, 1.812)
_T90_MANY = 1.645


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """An expected value, and between which it lies in nine of ten cases; None: one measurement shows no spread."""

    expected: float
    low: float | None = None
    high: float | None = None

    def as_json(self) -> dict[str, float | None]:
        return {name: None if value is None else round(value, 3) for name, value in vars(self).items()}


@dataclass(frozen=True, kw_only=True)
class StageEstimate:
    """What one stage will take. `longest_part`, `first_seconds`: the longest of the parts, and what a worker's first
    part takes beyond the others."""

    name: str
    is_whole: bool
    num_parts: int
    unit_out: str
    documents_in: float
    documents_out: float
    cpu_seconds: Estimate
    seconds: Estimate
    bytes: Estimate
    fetched: float
    requests: float
    scratch: float
    longest_part: float
    first_seconds: float
    around_seconds: float
    exponent: float | None
    peak_memory_bytes: int | None

    def as_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "one_process": self.is_whole,
            "parts": self.num_parts,
            "unit_out": self.unit_out,
            "documents_in": round(self.documents_in),
            "documents_out": round(self.documents_out),
            "cpu_seconds": self.cpu_seconds.as_json(),
            "bytes": self.bytes.as_json(),
            "fetched": round(self.fetched),
            "requests": round(self.requests),
            "scratch_bytes": round(self.scratch),
            "exponent": self.exponent,
            "peak_memory_bytes": self.peak_memory_bytes,
        }


@dataclass(frozen=True, kw_only=True)
class Whole:
    """All that a sample was drawn from.

    Attributes:
        scale: how many times as large as the sample it is, by size or by number.
        num_parts: how many parts it has.
        sizes: size of the measured parts, by name, in the unit of `scale`; without one, all are alike.
    """

    scale: float
    num_parts: int
    sizes: Mapping[str, float] = field(default_factory=dict)

    def size(self, part: PartMeasure) -> float:
        return self.sizes.get(part.name, 1.0)


def total_of(values: Sequence[float], sizes: Sequence[float], total_size: float, num_all: int) -> Estimate:
    """The sum over `num_all` parts of that total size, of which these values were measured on parts of these sizes."""
    ratio = sum(values) / sum(sizes)
    expected = ratio * total_size
    if len(values) >= num_all:
        return Estimate(expected=expected, low=expected, high=expected)
    if len(values) < 2:
        return Estimate(expected=expected)
    degrees = len(values) - 1
    t = _T90[degrees - 1] if degrees <= len(_T90) else _T90_MANY
    variance = sum((value - ratio * size) ** 2 for value, size in zip(values, sizes, strict=True)) / degrees
    spread = num_all * math.sqrt((1 - len(values) / num_all) * variance / len(values))
    return Estimate(expected=expected, low=max(0.0, expected - t * spread), high=expected + t * spread)


def estimate(stages: Sequence[StageMeasure], whole: Whole) -> list[StageEstimate]:
    """What each stage will take on all that the measured parts were drawn from."""
    return [_at_once(stage, whole.scale) if stage.is_whole else _by_part(stage, whole) for stage in stages]


def _by_part(stage: StageMeasure, whole: Whole) -> StageEstimate:
    # the first part of a worker says what loading takes, the others what a part takes
    first = [part for part in stage.parts if part.is_first]
    typical = [part for part in stage.parts if not part.is_first] or list(stage.parts)
    total_size = whole.scale * sum(map(whole.size, stage.parts))

    def total(parts: Sequence[PartMeasure], quantity: Callable[[PartMeasure], float]) -> Estimate:
        return total_of(list(map(quantity, parts)), list(map(whole.size, parts)), total_size, whole.num_parts)

    def loading(quantity: Callable[[PartMeasure], float]) -> float:
        """What the first part of a worker takes beyond the others; 0 where there is nothing to compare."""
        if not first or len(first) == len(stage.parts):
            return 0.0
        ratio = sum(map(quantity, typical)) / sum(map(whole.size, typical))
        return max(0.0, statistics.fmean(quantity(part) - ratio * whole.size(part) for part in first))

    # files are counted as files, whatever their size
    counted = whole.num_parts / len(stage.parts) if stage.unit_in == "files" else whole.scale
    cpu = total(typical, lambda part: part.cpu_seconds)
    return StageEstimate(
        name=stage.name,
        is_whole=False,
        num_parts=whole.num_parts,
        unit_out=stage.unit_out,
        documents_in=counted * stage.total("documents_in"),
        documents_out=counted * stage.total("documents_out"),
        cpu_seconds=_shifted(cpu, loading(lambda part: part.cpu_seconds) * len(first)),
        seconds=total(typical, lambda part: part.seconds),
        bytes=total(stage.parts, lambda part: part.bytes),
        fetched=whole.scale * stage.total("fetched"),
        requests=whole.scale * stage.total("requests"),
        scratch=max(part.scratch for part in stage.parts),
        longest_part=max(part.seconds for part in typical),
        first_seconds=loading(lambda part: part.seconds),
        around_seconds=stage.around_seconds,
        exponent=None,
        peak_memory_bytes=max((part.peak_memory_bytes or 0 for part in stage.parts), default=0) or None,
    )


def _at_once(stage: StageMeasure, scale: float) -> StageEstimate:
    (part,) = stage.parts
    exponent = EXPONENTS.get(stage.name, _DEFAULT_EXPONENT)

    def scaled(seconds: float) -> Estimate:
        fixed = min(seconds, _FIXED_SECONDS)
        return Estimate(expected=fixed + (seconds - fixed) * scale**exponent)

    grown = scale if exponent else 1.0
    seconds = scaled(part.seconds)
    return StageEstimate(
        name=stage.name,
        is_whole=True,
        num_parts=1,
        unit_out=stage.unit_out,
        documents_in=grown * part.documents_in,
        documents_out=grown * part.documents_out,
        cpu_seconds=scaled(part.cpu_seconds),
        seconds=seconds,
        bytes=Estimate(expected=grown * part.bytes),
        fetched=grown * part.fetched,
        requests=grown * part.requests,
        scratch=grown * part.scratch,
        longest_part=seconds.expected,
        first_seconds=0.0,
        around_seconds=stage.around_seconds,
        exponent=exponent,
        peak_memory_bytes=None if part.peak_memory_bytes is None else part.peak_memory_bytes,
    )


def wall_seconds(stages: Sequence[StageEstimate], workers: int, requests_per_second: float) -> Estimate:
    """From the beginning to the end on so many workers, on one machine or one address: the rate is theirs together."""
    low = expected = high = 0.0
    is_known = True
    for stage in stages:
        network = stage.requests / requests_per_second
        values = []
        for total in (stage.seconds.low, stage.seconds.expected, stage.seconds.high):
            shared = (stage.seconds.expected if total is None else total) / min(workers, stage.num_parts)
            values.append(max(shared + stage.first_seconds, stage.longest_part, network) + stage.around_seconds)
        low, expected, high = low + values[0], expected + values[1], high + values[2]
        is_known = is_known and (stage.is_whole or stage.seconds.low is not None)
    return Estimate(expected=expected, low=low if is_known else None, high=high if is_known else None)


def added(stages: Sequence[StageEstimate], quantity: Callable[[StageEstimate], Estimate]) -> Estimate:
    """The sum over stages. A part that is large is large in all of them: the intervals add up, too.

    Stages at once, of which there is one measurement, add what is expected of them to either end.
    """
    terms = [quantity(stage) for stage in stages]
    expected = sum(term.expected for term in terms)
    if any(not stage.is_whole and term.low is None for stage, term in zip(stages, terms, strict=True)):
        return Estimate(expected=expected)
    return Estimate(
        expected=expected,
        low=sum(term.expected if term.low is None else term.low for term in terms),
        high=sum(term.expected if term.high is None else term.high for term in terms),
    )


def kept_documents(stages: Sequence[StageMeasure], whole: Whole) -> Estimate | None:
    """How many documents the corpus will have; None where the stages have none.

    The more is read, the more of it was there already. Different documents grow as a power of all documents, as words
    of a text do (Heaps 1978); what the measured parts have of each other's gives the power. The interval goes from
    "copies become no more frequent" to twice that growth. On nine files of a crawl, planned from four: 1.16 times what
    was kept without this, 1.10 with it.
    """
    by_name = {stage.name: stage for stage in stages}
    if "corpus" not in by_name:
        return None
    corpus = by_name["corpus"]
    simple = total_of(
        [part.documents_out for part in corpus.parts],
        [whole.size(part) for part in corpus.parts],
        whole.scale * sum(map(whole.size, corpus.parts)),
        whole.num_parts,
    )
    dedup, measured = by_name.get("dedup"), len(corpus.parts)
    if dedup is None or whole.scale <= 1 or measured < 2 or not dedup.total("documents_out"):
        return simple
    kept = dedup.total("documents_out") / dedup.total("documents_in")
    shrinking = whole.scale ** (math.log(kept) / math.log(measured))
    return Estimate(
        expected=simple.expected * shrinking,
        low=None if simple.low is None else simple.low * shrinking**2,
        high=simple.high,
    )


def _shifted(estimated: Estimate, by: float) -> Estimate:
    return Estimate(
        expected=estimated.expected + by,
        low=None if estimated.low is None else estimated.low + by,
        high=None if estimated.high is None else estimated.high + by,
    )
