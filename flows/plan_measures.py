"""What the stages of a run took, part by part, from their manifests: what plans are made of and compared with."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from flows.part_usage import USAGE
from storage.manifests import Manifest, PartRecord, read_manifest
from storage.runs import Run, StageOutcome
from storage.store import Store
from storage.tables import DamagedFile

WHOLE = "all"  # the name of the part of a stage that works on everything at once
_NOT_PLANNED = {"report"}  # a page, once: seconds whatever the corpus


@dataclass(frozen=True, kw_only=True)
class PartMeasure:
    """What one part took.

    Attributes:
        seconds: from its beginning to its record.
        cpu_seconds: of all processors; what `seconds` says where nobody measured it alone.
        is_first: whether its process had to load what the stage needs.
        peak_memory_bytes: of its process, None where nobody looked.
        fetched, requests: bytes and requests that went to servers.
        scratch: bytes of files that were gone when it ended.
        source_bytes: of the file that a part of fetching is about; 0 where nobody said.
    """

    name: str
    documents_in: int
    documents_out: int
    bytes: int
    seconds: float
    cpu_seconds: float
    is_first: bool = False
    peak_memory_bytes: int | None = None
    fetched: int = 0
    requests: int = 0
    scratch: int = 0
    source_bytes: int = 0

    @classmethod
    def of(cls, record: PartRecord) -> "PartMeasure":
        usage: Mapping[str, Any] = record.metrics.get(USAGE, {})
        seconds = float(record.metrics.get("seconds", 0.0))
        cpu_seconds = usage.get("cpu_seconds")
        return cls(
            name=record.name,
            documents_in=record.account.documents_in,
            documents_out=record.account.documents_out,
            bytes=sum(file.bytes for file in record.files),
            seconds=seconds,
            cpu_seconds=seconds if cpu_seconds is None else float(cpu_seconds),
            is_first=bool(usage.get("is_first", False)),
            peak_memory_bytes=usage.get("peak_memory_bytes"),
            fetched=int(record.metrics.get("bytes_fetched", 0)),
            requests=int(record.metrics.get("requests", 0)),
            scratch=int(record.metrics.get("spilled_bytes", 0)),
            source_bytes=int(record.metrics.get("bytes", 0)),
        )


@dataclass(frozen=True, kw_only=True)
class StageMeasure:
    """What one stage took: its parts, and the time around them that none of them spent."""

    name: str
    unit_in: str
    unit_out: str
    parts: tuple[PartMeasure, ...]
    around_seconds: float = 0.0

    @property
    def is_whole(self) -> bool:
        """Whether it works on everything at once, in one process."""
        return [part.name for part in self.parts] == [WHOLE]

    def total(self, quantity: str) -> float:
        return float(sum(getattr(part, quantity) for part in self.parts))


def measure(store: Store, run: Run) -> list[StageMeasure]:
    """The stages of a run whose manifests are still there, in order."""
    workers = int(run.settings.get("workers", 1))
    measures = []
    for outcome in run.stages:
        manifest = _manifest(store, outcome)
        if manifest is None or outcome.name in _NOT_PLANNED:
            continue
        parts = tuple(PartMeasure.of(record) for record in manifest.parts)
        at_once = max(1, min(workers, len(parts)))
        around = 0.0 if outcome.reused else outcome.seconds - sum(part.seconds for part in parts) / at_once
        measures.append(
            StageMeasure(
                name=outcome.name,
                unit_in=manifest.account.unit_in,
                unit_out=manifest.account.unit_out,
                parts=parts,
                around_seconds=max(0.0, around),
            )
        )
    return measures


def totals(stages: list[StageMeasure]) -> dict[str, float]:
    """What a whole run took: the quantities that a plan expects, by the same names."""
    corpus = next((stage for stage in stages if stage.name == "corpus"), None)
    return {
        "documents": 0.0 if corpus is None else corpus.total("documents_out"),
        "cpu_seconds": sum(stage.total("cpu_seconds") for stage in stages),
        "bytes": sum(stage.total("bytes") for stage in stages),
        "fetched": sum(stage.total("fetched") for stage in stages),
        "requests": sum(stage.total("requests") for stage in stages),
    }


def _manifest(store: Store, outcome: StageOutcome) -> Manifest | None:
    try:
        return read_manifest(store, outcome.address)
    except DamagedFile:
        return None
