"""The stage `embeddings`: the vector of every document that is left after dedup."""

from collections.abc import Mapping

import numpy as np
import pyarrow as pa

from pipeline_lib.kernels.vectors import normalise
from pipeline_lib.semantic.embedders import Embedder, Floats, embed_by_function, embed_by_hashing
from pipeline_lib.semantic.parameters import EmbeddingParameters
from pipeline_lib.survivors import read_survivors, trail_of
from storage.accounts import Account
from storage.manifests import Part, PartResult, PartWriter, PublishedStage
from storage.schemas import embeddings_schema


def embeddings_part(
    part: Part,
    inputs: Mapping[str, PublishedStage],
    output: PartWriter,
    parameters: EmbeddingParameters,
    *,
    embed: Embedder | None = None,
) -> PartResult:
    """Embed the documents of a part that the trail left; writes `embeddings`.

    A vector that is not finite or that has no direction is no embedding: it is counted, written as zeros, and its
    document is compared with none.

    Args:
        embed: what `parameters.embedding` stands for where it is a model.
    """
    documents = read_survivors(trail_of(inputs), part.name, ["doc_id", "text"])
    vectors = _embed(documents["text"], parameters, embed)
    num_finite = int(np.count_nonzero(np.isfinite(vectors).all(axis=1)))
    num_embedded = normalise(vectors)
    dimensions = vectors.shape[1] if len(vectors) else 0
    values = pa.array(vectors.reshape(-1), pa.float32())
    schema = embeddings_schema(max(1, dimensions))
    table = pa.table(
        {
            "doc_id": documents["doc_id"],
            "embedding": pa.FixedSizeListArray.from_arrays(values, type=schema.field("embedding").type),
        },
        schema=schema,
    )
    output.table("embeddings", table, schema)
    return PartResult(
        account=Account(documents_in=len(vectors), documents_out=len(vectors)),
        metrics={
            "dimensions": dimensions,
            "documents_embedded": num_embedded,
            "documents_without_direction": num_finite - num_embedded,
            "documents_not_finite": len(vectors) - num_finite,
        },
    )


def _embed(texts: pa.ChunkedArray, parameters: EmbeddingParameters, embed: Embedder | None) -> Floats:
    if parameters.is_function:
        return embed_by_function(texts, parameters.embedding)
    if parameters.is_model:
        assert embed is not None
        return embed(texts)
    return embed_by_hashing(texts, parameters.dimensions)
