"""The tokenizer stage: one SentencePiece model for the whole corpus."""

from collections.abc import Mapping

import pyarrow.compute as pc

from pipeline_lib.tokenizer.measure import bytes_per_token
from pipeline_lib.tokenizer.model import Tokenizer
from pipeline_lib.tokenizer.parameters import TokenizerParameters
from pipeline_lib.tokenizer.sample import sample_documents
from pipeline_lib.tokenizer.training import train_model
from storage.accounts import Account
from storage.manifests import Part, PartResult, PartWriter, PublishedStage

MODEL_FILE = "tokenizer.model"


def tokenizer_part(
    part: Part, inputs: Mapping[str, PublishedStage], output: PartWriter, parameters: TokenizerParameters
) -> PartResult:
    """Train on a sample of the corpus's training documents and write the file `model`.

    Inputs: corpus. Metrics: `bytes_per_token` of the training sample and of as much validation text.

    Raises:
        CorpusTooSmall: the sample cannot fill the vocabulary.
    """
    corpus = inputs["corpus"]
    sample = sample_documents(corpus, "train", max_bytes=parameters.sample_bytes, seed=parameters.seed)
    model = train_model((text.as_py() for text in sample["text"]), parameters)
    with output.file("model", MODEL_FILE) as path:
        path.write_bytes(model)

    tokenizer = Tokenizer(model)
    held_out = sample_documents(corpus, "validation", max_bytes=parameters.sample_bytes, seed=parameters.seed)
    num_documents = sum(record.rows for record in corpus.manifest.files("train"))
    return PartResult(
        account=Account(
            documents_in=num_documents,
            documents_out=sample.num_rows,
            dropped={"not_sampled": num_documents - sample.num_rows},
        ),
        metrics={
            "tokenizer": vars(tokenizer.identity),
            "sample_bytes": int(pc.sum(pc.binary_length(sample["text"])).as_py()),
            "bytes_per_token": {
                "train": bytes_per_token(sample, tokenizer),
                "validation": bytes_per_token(held_out, tokenizer),
            },
        },
    )
