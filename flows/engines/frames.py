"""Messages through a pipe: eight bytes of length, then so many bytes."""

import os
import select
import struct

_LENGTH = struct.Struct(">Q")
_READ_BYTES = 1 << 17


class PipeClosed(EOFError):
    """The other side is gone."""


class FrameReader:
    """Reads messages from a descriptor; what was read of an unfinished one waits for the rest."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._buffer = bytearray()
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLIN)

    def read(self, seconds: float) -> bytes | None:
        """The next message; None where nothing at all came for so long.

        Raises:
            PipeClosed: no message is complete, and none will be.
        """
        while True:
            if len(self._buffer) >= _LENGTH.size:
                end = _LENGTH.size + _LENGTH.unpack_from(self._buffer)[0]
                if len(self._buffer) >= end:
                    message = bytes(memoryview(self._buffer)[_LENGTH.size : end])
                    del self._buffer[:end]
                    return message
            if not self._poll.poll(seconds * 1000):
                return None
            chunk = os.read(self._descriptor, _READ_BYTES)
            if not chunk:
                raise PipeClosed
            self._buffer += chunk


def write_frame(descriptor: int, message: bytes) -> None:
    """Write a whole message, waiting as long as it takes.

    Raises:
        PipeClosed: the other side is gone.
    """
    waiting = memoryview(_LENGTH.pack(len(message)) + message)
    try:
        while waiting:
            waiting = waiting[os.write(descriptor, waiting) :]
    except (BrokenPipeError, ConnectionResetError) as error:
        raise PipeClosed from error
