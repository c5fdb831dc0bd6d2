"""What earlier runs kept, as dedup asks for it: fingerprints from their stage `index`, texts from the runs' own."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import TypeAdapter

from pipeline_lib.dedup.banding import Banding
from pipeline_lib.dedup.engine import EarlierDocuments
from pipeline_lib.dedup.index_stage import TABLE, IndexParameters
from pipeline_lib.kernels.bands import Indices
from pipeline_lib.survivors import Trail, read_survivors, trail_of
from storage.manifests import MissingStage, PublishedStage, StageAddress, open_stage
from storage.schemas import fingerprints_schema, keyed_fingerprints_schema
from storage.tables import DamagedFile
from storage.wrong_request import WrongRequest

_INPUT = "earlier/"


class EarlierRunLost(WrongRequest):
    """What an earlier run kept cannot be read any more, so that nothing can be compared with it."""


def earlier_input(position: int, entry: str) -> str:
    """What dedup calls the stage `index` of an earlier run among its inputs: earlier runs in order, and by entry."""
    return f"{_INPUT}{position:05d}/{entry}"


def stage_of_input(name: str) -> str:
    """The stage that an input of any stage is the output of: inputs are named after it, but for those of earlier
    runs."""
    return "index" if name.startswith(_INPUT) else name


def earlier_documents(inputs: Mapping[str, PublishedStage], banding: Banding) -> list[EarlierDocuments]:
    """Those of the inputs that are what earlier runs kept, in order."""
    names = sorted(name for name in inputs if name.startswith(_INPUT))
    return [
        EarlierDocuments(run_id=entry, documents=IndexedDocuments(inputs[name], entry, banding))
        for name in names
        for entry in (name.split("/", 2)[2],)
    ]


def recorded_parameters(index: PublishedStage) -> IndexParameters:
    """The parameters that an index was made with."""
    recorded = {name: value for name, value in index.manifest.parameters.items() if name != "identity"}
    return TypeAdapter(IndexParameters).validate_python(recorded)


class IndexedDocuments:
    """The documents that one earlier run kept: a `Collection`. Its parts and rows are those of the stage `index`."""

    def __init__(self, index: PublishedStage, entry: str, banding: Banding) -> None:
        """`banding`: the one that is asked for: where it is that of the index, signatures need not be read."""
        self._index = index
        self._entry = entry
        parameters = recorded_parameters(index)
        self._schema = parameters.schema()
        num_permutations = parameters.signatures.num_permutations
        is_same = (banding.bands, banding.num_permutations) == (parameters.bands, num_permutations)
        self._fingerprints = (
            keyed_fingerprints_schema(banding.bands) if is_same else fingerprints_schema(num_permutations)
        )

    @property
    def parts(self) -> tuple[str, ...]:
        return tuple(self._index.part_names)

    def check(self) -> None:
        """Whether the stages that hold the texts are there.

        Raises:
            EarlierRunLost: one is not.
        """
        _ = self._trail

    def fingerprints(self, part: str) -> Iterator[pa.Table]:
        with self._naming_the_run():
            table = self._index.read(TABLE, part, self._schema, columns=self._fingerprints.names)
        yield table.select(self._fingerprints.names).replace_schema_metadata(self._fingerprints.metadata)

    def texts(self, part: str, rows: Indices) -> pa.Array:
        trail = self._trail
        with self._naming_the_run():
            doc_ids = self._index.read(TABLE, part, self._schema, columns=["doc_id"])["doc_id"].combine_chunks()
            survivors = read_survivors(trail, part, ["doc_id", "text"])
        found = pc.index_in(doc_ids.take(pa.array(rows)), value_set=survivors["doc_id"].combine_chunks())
        if found.null_count:
            raise EarlierRunLost(
                f"{self._index.manifest.address.folder} names documents of {part} that the stages before it do not "
                f"have; run again what made {self._entry}"
            )
        return survivors["text"].combine_chunks().take(found)

    def quality(self, part: str) -> npt.NDArray[np.float64]:
        """Not known: what an earlier run kept comes before all new documents, whatever its quality."""
        return np.full(self._index.record(TABLE, part).rows, np.nan)

    def source_ranks(self, part: str) -> npt.NDArray[np.int64]:
        return np.zeros(self._index.record(TABLE, part).rows, np.int64)

    @cached_property
    def _trail(self) -> Trail:
        """Through the stages whose texts were signed: those that made the signatures that the index was made from."""
        with self._naming_the_run():
            signatures = self._input_of(self._index, "signatures")
            return trail_of({name: self._input_of(signatures, name) for name in signatures.manifest.inputs})

    def _input_of(self, stage: PublishedStage, name: str) -> PublishedStage:
        return open_stage(stage.store, StageAddress(stage=name, key=stage.manifest.inputs[name]))

    @contextmanager
    def _naming_the_run(self) -> Iterator[None]:
        try:
            yield
        except (MissingStage, DamagedFile) as error:
            raise EarlierRunLost(
                f"what an earlier run kept ({self._entry}) cannot be compared with: {error}. Run the recipe of that "
                "run again, which makes its stages whole; then this one"
            ) from error
