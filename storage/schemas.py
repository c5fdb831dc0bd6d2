"""The Arrow schemas of everything that stages hand to each other.

Each carries its name and version in its metadata; readers refuse what they do not know. `doc_id` is 128 bits as 32
lower-case hex digits in every table: one spelling that people can paste and every tool can join on.
"""

import hashlib

import pyarrow as pa

NAME_KEY = b"gristmill.schema"
VERSION_KEY = b"gristmill.schema_version"


def _schema(name: str, version: int, fields: list[pa.Field]) -> pa.Schema:
    return pa.schema(fields, metadata={NAME_KEY: name.encode(), VERSION_KEY: str(version).encode()})


def _field(name: str, kind: pa.DataType, nullable: bool = False) -> pa.Field:
    return pa.field(name, kind, nullable=nullable)


# What is behind a part, one row a range of bytes to read, in order: a whole file is one range from start to end.
SOURCES = _schema(
    "sources",
    2,
    [
        _field("kind", pa.string()),  # warc: records; texts: JSON Lines or Parquet, text already
        _field("warc_path", pa.large_string()),  # logical: the same on every machine; names the file in documents
        _field("url", pa.large_string()),  # where its bytes are; `store:` before a path inside the same store
        _field("position", pa.int64()),  # where in the bytes of `url` the range begins
        _field("offset", pa.int64()),  # where in the logical file it begins: what documents are named after
        _field("length", pa.int64()),  # -1: to the end of the file
        _field("wanted", pa.large_list(pa.int64()), nullable=True),  # offsets of the records asked for; null: all
        _field("bytes", pa.int64()),  # of the whole file; -1 where nobody says
        _field("fingerprint", pa.string()),  # digest or entity tag: another content has another one
    ],
)

# One row a range of bytes that could not be fetched. A stage with such rows is another input than one without, and the
# next run tries them again (`flows.stage`).
LOST_SOURCES = _schema(
    "lost_sources",
    1,
    [
        _field("warc_path", pa.large_string()),
        _field("url", pa.large_string()),
        _field("offset", pa.int64()),
        _field("length", pa.int64()),  # -1: to the end of the file
        _field("reason", pa.string()),
    ],
)

# One row a page whose main text was read, in the order of its WARC file. Written once; nothing copies the text after.
DOCUMENTS = _schema(
    "documents",
    2,
    [
        _field("doc_id", pa.string()),
        _field("url", pa.large_string()),
        _field("host", pa.large_string()),
        _field("fetched_at", pa.timestamp("ms", tz="UTC"), nullable=True),
        _field("published_at", pa.string(), nullable=True),  # ISO 8601, where the page states one
        _field("warc_path", pa.large_string()),
        _field("warc_offset", pa.int64()),
        _field("warc_length", pa.int64()),
        _field("mime", pa.string()),
        _field("charset", pa.string()),
        _field("language", pa.string()),
        _field("language_score", pa.float32()),
        _field("title", pa.large_string()),
        _field("text", pa.large_string()),
    ],
)

# One row a WARC record that did not become a document.
REJECTED_RECORDS = _schema(
    "rejected_records",
    1,
    [
        _field("warc_path", pa.large_string()),
        _field("warc_offset", pa.int64()),
        _field("warc_length", pa.int64()),
        _field("record_type", pa.string()),
        _field("url", pa.large_string(), nullable=True),
        _field("reason", pa.string()),
    ],
)

# `doc_id` and one float64 column a signal; which signals, the filters decide (`signals_schema`).
_SIGNALS_VERSION = 1

# One row a dropped document: the first rule it broke, the value that broke it, and where the line was.
DECISIONS = _schema(
    "decisions",
    1,
    [
        _field("doc_id", pa.string()),
        _field("rule", pa.string()),
        _field("value", pa.float64(), nullable=True),
        _field("threshold", pa.float64(), nullable=True),
        _field("evidence", pa.large_string(), nullable=True),
    ],
)

# One row an edit: the bytes [start, end) of the UTF-8 text that the step was given become `replacement`.
# Where several editors follow each other, positions are in the text as the steps before left it. Rows of a document
# and step stand together, ordered by start, and never overlap.
EDITS = _schema(
    "edits",
    2,
    [
        _field("doc_id", pa.string()),
        _field("step", pa.int32()),  # 0 for the first editor of a stage
        _field("rule", pa.string()),
        _field("start", pa.int64()),
        _field("end", pa.int64()),
        _field("replacement", pa.large_string()),
    ],
)

# One row a document that dedup may still keep: its exact hashes and what decides who of a cluster is kept.
FINGERPRINTS_COLUMNS = [
    _field("doc_id", pa.string()),
    _field("text_hash", pa.binary(16)),  # of the normalised text; zeros: no word
    _field("url_hash", pa.binary(16)),  # of the canonical URL; zeros: none that can be compared
    _field("num_chars", pa.int64()),
    _field("fetched_at", pa.timestamp("ms", tz="UTC"), nullable=True),
    _field("num_shingles", pa.int32()),  # 0: too short to sign
]

# One row a removed duplicate: who was kept in its place, and how alike the two are.
DUPLICATES = _schema(
    "duplicates",
    2,
    [
        _field("doc_id", pa.string()),
        _field("rule", pa.string()),  # exact_duplicate | url_duplicate | near_duplicate | semantic_duplicate
        _field("kept_id", pa.string()),
        _field("kept_run", pa.string(), nullable=True),  # the earlier run that kept it; null: this one
        _field("similarity", pa.float64(), nullable=True),  # of the two texts, 0..1; null where URLs were compared
        _field("threshold", pa.float64(), nullable=True),
        _field("bands_shared", pa.int32()),
        _field("cluster_id", pa.string()),
    ],
)

# One row a document of a cluster of two or more, kept or not: what a train/validation split must not cut.
CLUSTERS = _schema(
    "clusters",
    1,
    [
        _field("doc_id", pa.string()),
        _field("cluster_id", pa.string()),  # smallest doc_id of the cluster
        _field("kept", pa.bool_()),
    ],
)

# The corpus that leaves the house: final text, one file a part and split.
CORPUS = _schema(
    "corpus",
    2,
    [*DOCUMENTS, _field("cluster_id", pa.string()), _field("num_edits", pa.int32())],
)

# One row a scored document: two models' rows can be compared document by document.
DOCUMENT_SCORES = _schema(
    "document_scores",
    1,
    [
        _field("doc_id", pa.string()),
        _field("num_bytes", pa.int64()),
        _field("num_tokens", pa.int64()),  # predicted ones: all but the first
        _field("nats", pa.float64()),
    ],
)


def signals_schema(signals: list[str]) -> pa.Schema:
    """`doc_id` and one float64 column a signal, in the given order."""
    return _schema(
        "signals", _SIGNALS_VERSION, [_field("doc_id", pa.string()), *(_field(name, pa.float64()) for name in signals)]
    )


def fingerprints_schema(num_permutations: int) -> pa.Schema:
    """Fingerprints with MinHash signatures of `num_permutations` uint32 values."""
    signature = _field("signature", pa.list_(pa.uint32(), num_permutations))
    return _schema("fingerprints", 2, [*FINGERPRINTS_COLUMNS, signature])


def embeddings_schema(dimensions: int) -> pa.Schema:
    """Embeddings of length 1, float32 (dimensions,); all 0 where a document has none, and is like no other."""
    vector = _field("embedding", pa.list_(pa.field("item", pa.float32(), nullable=False), dimensions))
    return _schema("embeddings", 1, [_field("doc_id", pa.string()), vector])


def encoded_schema(token_type: pa.DataType, metadata: dict[bytes, bytes]) -> pa.Schema:
    """Documents as token ids. `metadata` binds them to one tokenizer (see `token_shards.TokenizerIdentity`)."""
    fields = [
        _field("doc_id", pa.string()),
        _field("num_bytes", pa.int64()),  # UTF-8 bytes of the text behind the tokens
        _field("tokens", pa.large_list(pa.field("token", token_type, nullable=False))),
    ]
    schema = _schema("token_shard", 1, fields)
    return schema.with_metadata({**schema.metadata, **metadata})


def document_id(source: str, offset: int) -> str:
    """128 bits from where a document came from: its logical source (a WARC's path in the crawl) and byte offset.

    Never from the machine, the part number, an absolute path or a random number.
    """
    digest = hashlib.blake2b(f"{source}\x00{offset}".encode(errors="surrogateescape"), digest_size=16)
    return digest.hexdigest()
