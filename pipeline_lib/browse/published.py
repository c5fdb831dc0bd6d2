"""Reading a few columns or a few rows of what a run's stages published, without the rest of their files."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline_lib.filters.stage import recorded_filters
from pipeline_lib.privacy.parameters import PrivacyParameters
from pipeline_lib.report.drawing import recorded_privacy
from pipeline_lib.survivors import TRAIL
from storage.manifests import FileRecord, MissingStage, PublishedStage
from storage.tables import DamagedFile, check_schema


class PublishedTables:
    """The tables of a run's stages, by stage, table and part.

    A column is read without the others, and of a file with many rows only the row groups that are asked for: also where
    the store is elsewhere, so that a page costs no more than it shows.
    """

    def __init__(self, stages: Mapping[str, PublishedStage]) -> None:
        self.stages = dict(stages)
        self._files = {
            (name, record.table, record.part): record
            for name, stage in stages.items()
            for record in stage.manifest.files()
        }

    @property
    def parts(self) -> tuple[str, ...]:
        """The parts of the extracted documents, in order; none where nothing was extracted."""
        return tuple(self.stages["extract"].part_names) if "extract" in self.stages else ()

    @property
    def trail(self) -> tuple[str, ...]:
        """The stages that edited or dropped documents after they were extracted, in order."""
        return tuple(name for name in TRAIL[1:] if name in self.stages)

    @cached_property
    def privacy(self) -> PrivacyParameters:
        """How the run masks addresses; as usual, where it has not come to that."""
        return recorded_privacy(self.stages)

    @cached_property
    def signal_names(self) -> tuple[str, ...]:
        """What the documents were measured at; nothing where they were not."""
        return tuple(recorded_filters(self.stages["signals"].manifest).signals()) if "signals" in self.stages else ()

    def has(self, stage: str, table: str, part: str) -> bool:
        return (stage, table, part) in self._files

    def columns(self, stage: str, table: str, part: str, schema: pa.Schema, columns: Sequence[str]) -> pa.Table:
        """All rows of some columns, in the order of `columns`."""
        with self._opened(stage, table, part, schema) as file:
            return file.read(columns=list(columns)).select(list(columns))

    def rows(
        self, stage: str, table: str, part: str, schema: pa.Schema, columns: Sequence[str], rows: Sequence[int]
    ) -> pa.Table:
        """Some columns of some rows, in the order of `rows`."""
        wanted = np.asarray(rows, np.int64)
        with self._opened(stage, table, part, schema) as file:
            starts = _row_group_starts(file)
            groups = np.searchsorted(starts, wanted, side="right") - 1
            needed = np.unique(groups)
            read = file.read_row_groups(needed.tolist(), columns=list(columns)).select(list(columns))
        # where each needed group begins among the rows that were read
        sizes = np.diff(starts)[needed]
        begins = np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.int64)
        at = begins[np.searchsorted(needed, groups)] + wanted - starts[groups]
        return read.take(pa.array(at))

    def row_groups(
        self, stage: str, table: str, part: str, schema: pa.Schema, columns: Sequence[str], rows: Sequence[int]
    ) -> Iterator[tuple[int, pa.Table]]:
        """The row groups that hold some of these rows, in order: the number of the first row, and all rows."""
        with self._opened(stage, table, part, schema) as file:
            starts = _row_group_starts(file)
            for group in np.unique(np.searchsorted(starts, np.asarray(rows, np.int64), side="right") - 1).tolist():
                yield int(starts[group]), file.read_row_group(group, columns=list(columns)).select(list(columns))

    def of_document(self, stage: str, table: str, part: str, schema: pa.Schema, doc_id: str) -> pa.Table:
        """All rows of a document in a table of its part; none where the stage has no such table."""
        if not self.has(stage, table, part):
            return schema.empty_table()
        with self._opened(stage, table, part, schema) as file:
            ids = file.read(columns=["doc_id"])["doc_id"]
        rows = np.flatnonzero(pc.equal(ids, doc_id).to_numpy())
        if not len(rows):
            return schema.empty_table()
        return self.rows(stage, table, part, schema, schema.names, rows.tolist())

    @contextmanager
    def _opened(self, stage: str, table: str, part: str, schema: pa.Schema) -> Iterator[pq.ParquetFile]:
        published, record = self.stages[stage], self._record(stage, table, part)
        path = f"{published.manifest.address.folder}/{record.path}"
        place = published.store.full_path(path)
        try:
            with (
                published.store.open(path) as stream,
                pq.ParquetFile(stream, pre_buffer=True, page_checksum_verification=True) as file,
            ):
                check_schema(file.schema_arrow, schema, place)
                yield file
        except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
            raise DamagedFile(
                f"{place} of stage {stage!r} cannot be read ({error}); run again: the damaged part is found and rebuilt"
            ) from error

    def _record(self, stage: str, table: str, part: str) -> FileRecord:
        try:
            return self._files[stage, table, part]
        except KeyError:
            raise MissingStage(f"stage {stage!r} of this run has no table {table!r} for {part}") from None


def _row_group_starts(file: pq.ParquetFile) -> npt.NDArray[np.int64]:
    """int64 (row groups + 1,): the row at which each begins; last, the number of rows."""
    sizes = [file.metadata.row_group(number).num_rows for number in range(file.metadata.num_row_groups)]
    return np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
