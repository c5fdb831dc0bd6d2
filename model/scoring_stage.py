"""The stage `likelihood`: what documents cost under an exported model, as a signal for the rule set `perplexity`."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import pyarrow as pa

from model.scoring import score_texts
from storage.accounts import Account
from storage.manifests import Part, PartResult, PartWriter, PublishedStage
from storage.schemas import DOCUMENTS, signals_schema


@dataclass(frozen=True, kw_only=True)
class LikelihoodParameters:
    """Which model scores.

    Attributes:
        model: folder of an exported model.
        signal: what the scores are called.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    model: str
    signal: str


def likelihood_part(
    part: Part, inputs: Mapping[str, PublishedStage], output: PartWriter, parameters: LikelihoodParameters
) -> PartResult:
    """Bits per byte of the extracted documents of a part; NaN for a text without a byte."""
    documents = inputs["extract"].read("documents", part.name, DOCUMENTS, columns=["doc_id", "text"])
    scores = score_texts(parameters.model, documents["text"], num_threads=1)
    table = pa.table({"doc_id": documents["doc_id"], parameters.signal: scores})
    output.table("signals", table, signals_schema([parameters.signal]))
    return PartResult(account=Account(documents_in=documents.num_rows, documents_out=documents.num_rows))
