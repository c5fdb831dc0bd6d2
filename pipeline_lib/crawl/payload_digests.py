"""Whether a record's bytes are those that the archive says it wrote: its WARC-Block-Digest and WARC-Payload-Digest.

The WARC standard (ISO 28500:2017, sections 5.8 and 5.9) leaves open how a digest is spelled, and writers differ in what
they call the payload: with the transfer and content encodings on, or off. So every spelling and every reading that is
in use counts, and a record is damaged only if none fits.
"""

import base64
import binascii
import hashlib
from dataclasses import replace

from pipeline_lib.crawl.record_bodies import UndecodableBody, decoded_body
from pipeline_lib.crawl.warc_records import Record

_ALGORITHMS = {
    "sha1": "sha1",
    "sha-1": "sha1",
    "sha256": "sha256",
    "sha-256": "sha256",
    "sha384": "sha384",
    "sha512": "sha512",
    "sha-512": "sha512",
    "md5": "md5",
    "blake2b": "blake2b",
    "blake2s": "blake2s",
}


def digest_mismatch(record: Record, max_body_bytes: int) -> bool:
    """Whether a record states a digest that its bytes do not have.

    A record without a digest, or with one of an unknown kind, cannot be shown to be damaged; nor can one that the
    crawler cut off, whose digests may be the whole page's, nor a revisit, whose payload is elsewhere.

    Args:
        max_body_bytes: decode bodies up to this size; the content of a larger one is not compared.
    """
    if record.truncated or record.record_type == "revisit":
        return False
    block = _parsed(record.block_digest)
    payload = _parsed(record.payload_digest)
    if block is not None and _digest(block[0], record.http_header, record.body) == block[1]:
        return False
    if payload is None:
        return block is not None
    algorithm, expected = payload
    if _digest(algorithm, record.body) == expected:
        return False
    chunked = replace(record, headers={**record.headers, "content-encoding": ""})
    for reading in (chunked, record):
        try:
            if _digest(algorithm, decoded_body(reading, max_body_bytes)) == expected:
                return False
        except UndecodableBody as error:
            if error.reason == "body_too_large":
                return False  # nobody can say
    return True


def _digest(algorithm: str, *pieces: bytes) -> bytes:
    digest = hashlib.new(algorithm, usedforsecurity=False)
    for piece in pieces:
        digest.update(piece)
    return digest.digest()


def _parsed(stated: str | None) -> tuple[str, bytes] | None:
    """Algorithm and bytes of a digest such as `sha1:3I42H3S6NNFQ2MSVX7XZKYAYSCX5QBYJ`; None if it is none we know.

    In base 32 as most archives write it, hexadecimal, or base 64, told apart by their length.
    """
    label, _, value = (stated or "").strip().rpartition(":")
    algorithm = _ALGORITHMS.get(label.lower().removeprefix("urn:"))
    if algorithm is None or not value.isascii():
        return None
    size = hashlib.new(algorithm, usedforsecurity=False).digest_size
    bare = value.rstrip("=")
    try:
        if len(value) == 2 * size:
            return algorithm, bytes.fromhex(value)
        if len(bare) == -(-size * 8 // 5):
            return algorithm, base64.b32decode(bare.upper() + "=" * (-len(bare) % 8))
        if len(bare) == -(-size * 8 // 6):
            standard = bare.translate(str.maketrans("-_", "+/"))
            return algorithm, base64.b64decode(standard + "=" * (-len(bare) % 4), validate=True)
    except (ValueError, binascii.Error):
        return None
    return None
