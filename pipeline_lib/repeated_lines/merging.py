"""The counts of all parts added up, out of core, and which units are in too many documents."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pipeline_lib.kernels.shingles import Hashes
from pipeline_lib.kernels.text_units import Flags, Places
from pipeline_lib.repeated_lines.counting import COUNT, Counts, starts_of_runs
from pipeline_lib.repeated_lines.parameters import RepeatedLinesParameters

# Of memory, at most, for each record that a run has in it: itself, its columns, their order and their sums.
_BYTES_A_RECORD = 10 * COUNT.itemsize
_MIN_RECORDS = 16  # of each run at a time, whatever the memory

_Key = tuple[int, int]


@dataclass(frozen=True, kw_only=True)
class Totals:
    """Units with all their documents, ordered by scope and unit, and the records that were added up for them.

    Attributes:
        units: uint64 (T,): 0 stands for the scope itself.
        documents: int64 (T,): of the unit.
        scope_documents: int64 (T,): of its scope.
        firsts: uint64 (T,): the turn of its first document.
        record_runs: int64 (R,): the run that each record is of, ascending within a unit.
        record_totals: int64 (R,): the unit that it is of, an index into T; ascending.
        record_firsts: uint64 (R,): the turn of the first document of that run.
    """

    units: Hashes
    documents: Places
    scope_documents: Places
    firsts: Hashes
    record_runs: Places
    record_totals: Places
    record_firsts: Hashes


def add_up(runs: Sequence[Path], memory_bytes: int) -> Iterator[Totals]:
    """Merge runs of counts (files of `COUNT` records), a range of scopes and units at a time, in ascending order.

    Each run is read once, from start to end, a piece at a time; what is in memory at once is bounded, however many
    units or documents a scope has. A range ends where the first of the pieces does.
    """
    piece = max(_MIN_RECORDS, memory_bytes // (_BYTES_A_RECORD * max(1, len(runs))))
    readers = [_RunReader(path) for path in runs]
    scope_documents = 0
    while True:
        for reader in readers:
            reader.fill(piece)
        unfinished = [reader.last_key() for reader in readers if reader.num_unread]
        bound = min(unfinished) if unfinished else None
        taken = [reader.take(bound) for reader in readers]
        runs_taken = np.repeat(np.arange(len(taken)), [len(records) for records in taken])
        if len(runs_taken):
            totals = _add(np.concatenate(taken), runs_taken, scope_documents)
            scope_documents = int(totals.scope_documents[-1])
            yield totals
        if bound is None:
            return


def is_repeated(totals: Totals, parameters: RepeatedLinesParameters) -> Flags:
    """Which units are of too many documents, bool (T,)."""
    repeated: Flags = (totals.units != 0) & (totals.documents > parameters.max_documents)
    if parameters.scope == "host":
        repeated &= totals.documents >= parameters.min_share * totals.scope_documents
    return repeated


class _RunReader:
    """A run, from which records are taken from the front."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._position = 0
        self._piece: Counts = np.empty(0, COUNT)
        self.num_unread = path.stat().st_size // COUNT.itemsize

    def fill(self, num_records: int) -> None:
        """Have so many records in memory where there are as many; reads only when half of them are gone."""
        wanted = min(num_records - len(self._piece), self.num_unread)
        if wanted and 2 * len(self._piece) <= num_records:
            more = np.fromfile(self._path, COUNT, wanted, offset=self._position * COUNT.itemsize)
            self._piece = np.concatenate([self._piece, more])
            self._position += wanted
            self.num_unread -= wanted

    def last_key(self) -> _Key:
        return int(self._piece["scope"][-1]), int(self._piece["unit"][-1])

    def take(self, bound: _Key | None) -> Counts:
        """The records up to and including `bound`; all where it is None."""
        size = len(self._piece) if bound is None else _position_behind(self._piece, bound)
        taken, self._piece = self._piece[:size], self._piece[size:]
        return taken


def _position_behind(records: Counts, bound: _Key) -> int:
    scopes: npt.NDArray[np.uint64] = records["scope"]
    first = int(np.searchsorted(scopes, np.uint64(bound[0]), "left"))
    last = int(np.searchsorted(scopes, np.uint64(bound[0]), "right"))
    return first + int(np.searchsorted(records["unit"][first:last], np.uint64(bound[1]), "right"))


def _add(records: Counts, runs: Places, scope_documents: int) -> Totals:
    """Args: scope_documents: of the scope that the records before ended with, which these may go on with."""
    order = np.lexsort((records["unit"], records["scope"]))
    records = records[order]
    starts = starts_of_runs(records["scope"], records["unit"])
    units = records["unit"][starts]
    documents = np.add.reduceat(records["documents"].astype(np.int64), starts)
    own = np.maximum.accumulate(np.where(units == 0, np.arange(len(units)), -1))  # where the unit's scope stands
    lengths = np.diff(starts, append=len(records))
    return Totals(
        units=units,
        documents=documents,
        scope_documents=np.where(own >= 0, documents[own], scope_documents),
        firsts=np.minimum.reduceat(records["first"], starts),
        record_runs=runs[order],
        record_totals=np.repeat(np.arange(len(starts)), lengths),
        record_firsts=records["first"].copy(),
    )
