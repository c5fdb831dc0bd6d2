"""The documents of a run, as dedup asks for them."""

from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline_lib.dedup.parameters import DedupParameters
from pipeline_lib.kernels.bands import Indices
from pipeline_lib.survivors import TRAIL, Trail, read_survivors, trail_of, without_dropped
from storage.manifests import PublishedStage
from storage.schemas import fingerprints_schema, signals_schema


class RunCollection:
    """What `judge` left of a crawl and nobody withdrew, fingerprinted by `signatures`: its parts, and rows in source
    order."""

    def __init__(self, stages: Mapping[str, PublishedStage], parameters: DedupParameters) -> None:
        """`stages`: extract, signals, judge, signatures; withdrawn where something was."""
        self._signatures = stages["signatures"]
        self._signals = stages["signals"]
        before = [name for name in TRAIL[: TRAIL.index("dedup")] if name in stages]
        self._trail = trail_of({name: stages[name] for name in before})
        # signatures are made of what is withdrawn, too
        self._withdrawn = Trail(
            documents=stages["extract"], drops=[stages[name] for name in before if name == "withdrawn"]
        )
        self._schema = fingerprints_schema(parameters.signatures().num_permutations)
        self._parameters = parameters

    @property
    def parts(self) -> tuple[str, ...]:
        return tuple(self._signatures.part_names)

    def fingerprints(self, part: str) -> Iterator[pa.Table]:
        yield without_dropped(self._signatures.read("fingerprints", part, self._schema), self._withdrawn, part)

    def texts(self, part: str, rows: Indices) -> pa.Array:
        text = read_survivors(self._trail, part, ["text"])["text"].combine_chunks()
        if len(rows) and rows[-1] >= len(text):
            raise ValueError(f"the fingerprints of {part} were made from other texts than these; sign them again")
        return text.take(pa.array(rows))

    def quality(self, part: str) -> npt.NDArray[np.float64]:
        name = self._parameters.quality_signal or ""
        with self._signals.local_file("signals", part) as path:
            measured = [column for column in pq.read_schema(path).names if column != "doc_id"]
        if name not in measured:
            raise ValueError(
                f"quality_signal={name!r} is none of the signals of this run: {', '.join(measured) or 'it has none'}; "
                "let a rule measure it, or keep by something else"
            )
        signals = self._signals.read("signals", part, signals_schema(measured), columns=["doc_id", name])
        rows = pc.index_in(self._doc_ids(part), value_set=signals["doc_id"].combine_chunks())
        values: npt.NDArray[np.float64] = signals[name].combine_chunks().take(rows).to_numpy(zero_copy_only=False)
        return values

    def source_ranks(self, part: str) -> Indices:
        paths = read_survivors(self._trail, part, ["warc_path"])["warc_path"].combine_chunks().dictionary_encode()
        ranks = [_rank(path, self._parameters.source_priority) for path in paths.dictionary.to_pylist()]
        return np.array(ranks, np.int64)[paths.indices.to_numpy()] if ranks else np.zeros(0, np.int64)

    def _doc_ids(self, part: str) -> pa.Array:
        signed = self._signatures.read("fingerprints", part, self._schema, columns=["doc_id"])
        return without_dropped(signed, self._withdrawn, part)["doc_id"].combine_chunks()


def _rank(path: str, priority: tuple[str, ...]) -> int:
    return next((rank for rank, pattern in enumerate(priority) if fnmatchcase(path, pattern)), len(priority))
