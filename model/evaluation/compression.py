"""What general compressors need for the same text: the line that a language model has to stay below to be worth it."""

import gzip
import lzma


def gzip_bits_per_byte(text: bytes) -> float:
    """Of `gzip -9`, header included.

    Raises:
        ValueError: there is no text.
    """
    return _bits_per_byte(gzip.compress(text, compresslevel=9, mtime=0), text)


def xz_bits_per_byte(text: bytes) -> float:
    """Of `xz -9`, header included.

    Raises:
        ValueError: there is no text.
    """
    return _bits_per_byte(lzma.compress(text, preset=9), text)


def _bits_per_byte(compressed: bytes, text: bytes) -> float:
    if not text:
        raise ValueError("no text to compress")
    return 8 * len(compressed) / len(text)
