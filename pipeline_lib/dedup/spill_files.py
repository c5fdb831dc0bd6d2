"""What does not fit in memory: arrays in files without a name, which go when they are closed or the process ends."""

import os
import tempfile
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt


class SpillFile:
    """Bytes by position; threads may read and write different places at the same time."""

    def __init__(self, folder: Path) -> None:
        self._file = tempfile.TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115 (closed by __exit__)
        self._folder = folder
        self.num_bytes = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def append(self, array: npt.NDArray[Any]) -> None:
        self.write(array, self.num_bytes)

    def write(self, array: npt.NDArray[Any], offset: int) -> None:
        """Write a contiguous array from byte `offset` on.

        Raises:
            OSError: the disk is full; says which.
        """
        left = _bytes_of(array)
        self.num_bytes = max(self.num_bytes, offset + len(left))
        try:
            while left:
                written = os.pwrite(self._file.fileno(), left, offset)
                left, offset = left[written:], offset + written
        except OSError as error:
            raise OSError(
                error.errno,
                f"{self._folder}: {error.strerror} after {offset / 1e9:.2f} GB of what does not fit in memory; make "
                "room there, or deduplicate fewer documents at a time",
            ) from error

    def read(self, offset: int, array: npt.NDArray[Any]) -> None:
        """Fill a contiguous array from byte `offset` on."""
        left = _bytes_of(array)
        while left:
            num_read = os.preadv(self._file.fileno(), [left], offset)
            if num_read == 0:
                raise EOFError(f"a spill file in {self._folder} ends at byte {offset}")
            left, offset = left[num_read:], offset + num_read

    def map(self, offset: int, count: int, dtype: Any) -> npt.NDArray[Any]:
        """`count` values from byte `offset` on, of which only what is looked at takes memory, and only for a while."""
        if count == 0:
            return np.zeros(0, dtype)
        # copy-on-write, as kernels are compiled for arrays that can be written
        return np.asarray(np.memmap(self._file, dtype, "c", offset, (count,)))


def _bytes_of(array: npt.NDArray[Any]) -> memoryview:
    return array.reshape(-1).view(np.uint8).data
