"""The stages encode (text to ids, part by part) and tokens (shards in an order that no part decides)."""

from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipeline_lib.tokenizer.model import load_tokenizer
from pipeline_lib.tokens.encoding import encode_documents
from pipeline_lib.tokens.parameters import EncodeParameters, TokenParameters
from pipeline_lib.tokens.shuffle import shard_rows, shuffle_order
from storage.accounts import Account
from storage.manifests import Part, PartResult, PartWriter, PublishedStage
from storage.schemas import CORPUS
from storage.token_shards import TokenizerIdentity, open_token_shard, write_token_shard

_SPLITS = ("train", "validation")


def encode_part(
    part: Part, inputs: Mapping[str, PublishedStage], output: PartWriter, parameters: EncodeParameters
) -> PartResult:
    """Encode one part of the corpus: files `train` and `validation`, each sorted by shuffle hash.

    Inputs: corpus, tokenizer.
    """
    with inputs["tokenizer"].local_file("model") as path:
        tokenizer = load_tokenizer(path)
    metrics: dict[str, Any] = {}
    for split in _SPLITS:
        documents = inputs["corpus"].read(split, part.name, CORPUS, columns=["doc_id", "text"])
        encoded = encode_documents(documents, tokenizer, parameters.seed)
        with output.file(split, f"{part.name}.arrow", rows=encoded.num_rows) as path:
            write_token_shard(encoded, path, tokenizer.identity)
        metrics[split] = _figures(encoded)
    num_documents = sum(metrics[split]["documents"] for split in _SPLITS)
    return PartResult(
        account=Account(documents_in=num_documents, documents_out=num_documents),
        metrics={**metrics, **_token_format(tokenizer.identity), "seed": parameters.seed},
    )


def token_parts(parameters: TokenParameters) -> list[Part]:
    """The parts of the tokens stage: one a shard."""
    numbers = {"train": parameters.num_shards, "validation": parameters.num_validation_shards}
    return [
        Part(name=f"{split}-{shard:05d}", source={"split": split, "shard": shard, "num_shards": numbers[split]})
        for split in _SPLITS
        for shard in range(numbers[split])
    ]


def tokens_part(
    part: Part, inputs: Mapping[str, PublishedStage], output: PartWriter, parameters: TokenParameters
) -> PartResult:
    """Make one shard: the documents of its range of hashes, from all encoded parts, in order.

    Inputs: encode. Writes the file `train` or `validation` that `part.source` names.

    Raises:
        TokenizerMismatch: the encoded parts were made with different tokenizers.
        ValueError: they were encoded with another seed.
    """
    encode = inputs["encode"]
    split, shard, num_shards = part.source["split"], part.source["shard"], part.source["num_shards"]
    for record in encode.manifest.parts:
        if record.metrics["seed"] != parameters.seed:
            raise ValueError(
                f"{record.name} was encoded in the order of seed {record.metrics['seed']}, expected "
                f"{parameters.seed}: encode with TokenParameters.encoding of the same parameters"
            )
    tokenizer: TokenizerIdentity | None = None
    slices = []
    for name in encode.part_names:
        with encode.local_file(split, name) as path:
            encoded = open_token_shard(path, tokenizer)
            tokenizer = TokenizerIdentity.from_schema(encoded.schema, str(path))
            # a view into the mapped file, which stays readable when a remote store's copy of it is removed
            slices.append(encoded.slice(*shard_rows(encoded["doc_id"], parameters.seed, shard, num_shards)))
    if tokenizer is None:
        raise ValueError(f"{encode.manifest.address.folder} has no parts: there is nothing to make shards of")
    documents = pa.concat_tables(slices)
    documents = documents.take(shuffle_order(documents["doc_id"], parameters.seed))
    with output.file(split, f"shard-{shard:05d}.arrow", rows=documents.num_rows) as path:
        write_token_shard(documents, path, tokenizer)
    return PartResult(
        account=Account(documents_in=documents.num_rows, documents_out=documents.num_rows),
        metrics={"split": split, **_figures(documents), **_token_format(tokenizer)},
    )


def _figures(encoded: pa.Table) -> dict[str, int]:
    return {
        "documents": encoded.num_rows,
        "tokens": int(pc.sum(pc.list_value_length(encoded["tokens"])).as_py() or 0),
        "bytes": int(pc.sum(encoded["num_bytes"]).as_py() or 0),
    }


def _token_format(tokenizer: TokenizerIdentity) -> dict[str, str]:
    return {"dtype": str(tokenizer.token_type), "tokenizer": tokenizer.digest}
