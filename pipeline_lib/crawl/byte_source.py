"""The bytes of a file from front to back, some of which can be looked at first, or given back."""

from typing import BinaryIO

_CHUNK_BYTES = 16 << 10  # what was not needed is copied: small chunks keep that cheap for files of small records


class ByteSource:
    """The bytes of a file in their order, with their position; what was not needed can be given back."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._kept = b""
        self.position = 0
        self.settled = 0  # up to here all records are complete
        self.error: Exception | None = None

    def read(self, size: int = -1) -> bytes:
        if self._kept:
            size = len(self._kept) if size < 0 else size
            chunk, self._kept = self._kept[:size], self._kept[size:]
        else:
            try:
                chunk = self._stream.read(size)
            except Exception as error:
                self.error = error  # so that nobody on its way takes it for damaged content
                raise
        self.position += len(chunk)
        return chunk

    def give_back(self, chunk: bytes) -> None:
        self._kept = chunk + self._kept
        self.position -= len(chunk)

    def peek(self, size: int) -> bytes:
        """The next `size` bytes, or fewer at the end of the file; they stay to be read, also where the stream fails."""
        found = b""
        try:
            while len(found) < size and (chunk := self.read(max(size - len(found), _CHUNK_BYTES))):
                found += chunk
        finally:
            self.give_back(found)
        return found[:size]

    def at_hand(self) -> bytes:
        """Some of the next bytes, as many as can be had without waiting for more than one; they stay to be read."""
        self.peek(1)
        return self._kept

    def exactly(self, size: int) -> bytes:
        """The next `size` bytes, fewer only at the end of the file."""
        parts: list[bytes] = []
        while size and (part := self.read(size)):
            parts.append(part)
            size -= len(part)
        return b"".join(parts)

    def tell(self) -> int:
        return self.position
