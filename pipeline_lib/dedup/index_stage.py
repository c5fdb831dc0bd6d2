"""The stage `index`: the fingerprints of what a run kept, for later runs to be deduplicated against."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline_lib.dedup.parameters import SignatureParameters
from pipeline_lib.kernels.bands import band_keys
from storage.accounts import Account
from storage.manifests import Part, PartResult, PartWriter, PublishedStage
from storage.schemas import CORPUS, fingerprints_schema, index_schema

TABLE = "kept"
_SPLITS = ("train", "validation")


@dataclass(frozen=True, kw_only=True)
class IndexParameters:
    """How the documents of an index were signed.

    Attributes:
        signatures: other runs can be compared with an index only if they sign alike.
        bands: of the band keys; a run with others computes its own from the signatures.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    signatures: SignatureParameters
    bands: int

    def __post_init__(self) -> None:
        if self.bands < 1 or self.signatures.num_permutations % self.bands:
            raise ValueError(
                f"bands={self.bands}: expected a divisor of the {self.signatures.num_permutations} permutations"
            )

    def schema(self) -> pa.Schema:
        return index_schema(self.signatures.num_permutations, self.bands)


def indexed(fingerprints: pa.Table, parameters: IndexParameters) -> pa.Table:
    """Fingerprints with their band keys: the columns of `index_schema`."""
    num_permutations = parameters.signatures.num_permutations
    values = fingerprints["signature"].combine_chunks().flatten().to_numpy()
    keys = np.empty((parameters.bands, fingerprints.num_rows), np.uint64)
    band_keys(values.reshape(fingerprints.num_rows, num_permutations), parameters.bands, keys)
    by_document = pa.array(np.ascontiguousarray(keys.T).reshape(-1))
    schema = parameters.schema()
    return fingerprints.append_column(
        schema.field("band_keys"), pa.FixedSizeListArray.from_arrays(by_document, parameters.bands)
    ).select(schema.names)


def index_part(
    part: Part, inputs: Mapping[str, PublishedStage], output: PartWriter, parameters: IndexParameters
) -> PartResult:
    """Write the table `kept` (index_schema) of one part, in source order: reads signatures and corpus.

    It names what is in the corpus, and nothing else: what a stage after dedup has dropped is no reason to drop another.
    """
    schema = fingerprints_schema(parameters.signatures.num_permutations)
    fingerprints = inputs["signatures"].read("fingerprints", part.name, schema)
    in_corpus = pa.chunked_array(
        [
            chunk
            for split in _SPLITS
            for chunk in inputs["corpus"].read(split, part.name, CORPUS, ["doc_id"])["doc_id"].chunks
        ],
        pa.string(),
    )
    kept = fingerprints.filter(pc.is_in(fingerprints["doc_id"], value_set=in_corpus.combine_chunks()))
    table = indexed(kept, parameters)
    output.table(TABLE, table, parameters.schema())
    return PartResult(account=Account(documents_in=len(in_corpus), documents_out=table.num_rows))
