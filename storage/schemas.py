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
        _field("kept_run", pa.string(), nullable=True),  # the earlier run's entry in the index; null: this run
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

# One row a line or paragraph that too many documents have, of those that a part has: `unit` as it is counted.
REPEATED_UNITS = _schema(
    "repeated_units",
    1,
    [
        _field("unit", pa.uint64()),
        _field("first", pa.uint64()),  # the turn of the document that has it first, of all parts
        _field("documents", pa.int64()),
    ],
)

# One row a repeated unit that is shown: those of the most documents, first.
REPEATED_EXAMPLES = _schema(
    "repeated_examples",
    1,
    [
        _field("doc_id", pa.string()),  # the document that has it first
        _field("host", pa.large_string()),
        _field("text", pa.large_string()),  # as it stands there
        _field("documents", pa.int64()),
        _field("scope_documents", pa.int64()),  # of the host, or of the corpus
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

# One row an item of an evaluation set, in the order of the sets and their files.
EVALUATION_ITEMS = _schema(
    "evaluation_items",
    1,
    [
        _field("set", pa.string()),
        _field("item", pa.large_string()),  # its id, or the number of its row
        _field("num_words", pa.int64()),
        _field("reason", pa.string(), nullable=True),  # why it is not looked for; null: it is
        _field("text", pa.large_string()),
    ],
)

# One row an item and a piece of its text that is looked for; items with the same piece share it. Ordered by piece.
EVALUATION_PIECES = _schema(
    "evaluation_pieces",
    1,
    [
        _field("piece", pa.int32()),
        _field("item", pa.int32()),  # row of EVALUATION_ITEMS
        _field("fields", pa.string()),  # `+` between them
    ],
)

# One row, an array in each column: the index of `pipeline_lib.kernels.item_ngrams`, to be memory-mapped.
EVALUATION_INDEX = _schema(
    "evaluation_index",
    1,
    [
        _field(name, pa.large_list(pa.field("value", kind, nullable=False)))
        for name, kind in (
            ("text", pa.uint8()),
            ("starts", pa.int64()),
            ("ends", pa.int64()),
            ("lengths", pa.int32()),
            ("slots", pa.int32()),
            ("hashes", pa.uint64()),
            ("bits", pa.uint64()),
            ("bit_starts", pa.int64()),
            ("shifts", pa.uint64()),
            ("gram_pieces", pa.int32()),  # for each n-gram in turn the pieces that have it
            ("gram_bounds", pa.int64()),  # where each n-gram's begin
        )
    ],
)

# One row a place in a document where an n-gram of an item stands, in the order of the part.
EVALUATION_HITS = _schema(
    "evaluation_hits",
    1,
    [
        _field("doc_id", pa.string()),
        _field("word", pa.int64()),  # the number of its first word
        _field("gram", pa.int64()),  # number of the n-gram in the index
        _field("start", pa.int64()),  # in the bytes of the text
        _field("end", pa.int64()),
    ],
)

# One row an n-gram that too many documents have.
COMMON_NGRAMS = _schema("common_ngrams", 1, [_field("gram", pa.int64()), _field("documents", pa.int64())])

# One row a document and an item of which it has an n-gram or more; best first within a document.
EVALUATION_MATCHES = _schema(
    "evaluation_matches",
    1,
    [
        _field("doc_id", pa.string()),
        _field("set", pa.string()),
        _field("item", pa.large_string()),
        _field("fields", pa.string()),  # of the item: whose text the document has the largest share of
        _field("matched", pa.int64()),  # n-grams of these fields that the document has
        _field("of", pa.int64()),
        _field("share", pa.float64()),
        _field("longest", pa.int64()),  # n-grams of the longest passage in common
        _field("start", pa.int64()),  # that passage, in the bytes of the text
        _field("end", pa.int64()),
        _field("excerpt", pa.large_string()),  # its beginning
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


def keyed_fingerprints_schema(num_bands: int) -> pa.Schema:
    """Fingerprints with a key of each band in place of the signature, of which it is made: a quarter of the size."""
    return _schema("keyed_fingerprints", 1, [*FINGERPRINTS_COLUMNS, _band_keys(num_bands)])


def index_schema(num_permutations: int, num_bands: int) -> pa.Schema:
    """One row a document that a run kept: its fingerprint, for runs after it to be deduplicated against.

    The version is one more whenever a text gets another hash, signature or band key than before: what was indexed by
    another version would be compared with nothing.
    """
    signature = _field("signature", pa.list_(pa.uint32(), num_permutations))
    return _schema("index", 1, [*FINGERPRINTS_COLUMNS, _band_keys(num_bands), signature])


def _band_keys(num_bands: int) -> pa.Field:
    return _field("band_keys", pa.list_(pa.uint64(), num_bands))


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
