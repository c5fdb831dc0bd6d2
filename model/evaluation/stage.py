"""The stage evaluate: a trained model's bits per byte, beside what compressors need, and samples of its text."""

import contextlib
import itertools
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from model.devices import choose_device, choose_precision, precision_name, repeatable
from model.evaluation.bits_per_byte import Nats, Tokens, bits_per_byte, confidence_interval, document_nats
from model.evaluation.compression import gzip_bits_per_byte, xz_bits_per_byte
from model.evaluation.parameters import EvaluationParameters
from model.evaluation.samples import sample_texts
from model.model_files import DamagedModel, ModelDescription, read_decoder, read_description
from storage.accounts import Account
from storage.manifests import Part, PartResult, PartWriter, PublishedStage
from storage.schemas import CORPUS, DOCUMENT_SCORES
from storage.tables import DamagedFile
from storage.token_shards import TokenizerIdentity, open_token_shard


class NothingToScore(ValueError):
    """No held-out text to evaluate on."""


@dataclass(frozen=True, kw_only=True)
class _HeldOut:
    """The first documents of the validation split, and how many there are in all."""

    doc_ids: list[str]
    num_bytes: npt.NDArray[np.int64]
    tokens: list[Tokens]
    num_documents: int


def evaluate_part(
    part: Part,
    inputs: Mapping[str, PublishedStage],
    output: PartWriter,
    parameters: EvaluationParameters,
    *,
    encode: Callable[[str], Sequence[int]],
    decode: Callable[[Sequence[int]], str],
) -> PartResult:
    """Score a trained model on held-out documents: table `documents` (DOCUMENT_SCORES), file `scores` (JSON).

    Inputs: train, tokens, corpus. The prediction of a document's end counts, its start token is given; the compressors
    get the very same documents, one after the other.

    Args:
        encode: text to token ids, without special ones.
        decode: token ids to text; special ones give none.

    Raises:
        NothingToScore: no document is held out.
        TokenizerMismatch: the shards are of another tokenizer than the model.
        DamagedModel, DamagedFile: an input is not what it says.
    """
    with inputs["train"].local_file("config") as path:
        description = read_description(path)
    with inputs["train"].local_file("model") as path:
        decoder = read_decoder(path, description.config)
    device = choose_device(parameters.device)
    dtype = choose_precision(parameters.precision, device)
    with repeatable(device, parameters.num_threads), _held_out(inputs["tokens"], description, parameters) as held_out:
        decoder.to(device)
        nats = document_nats(decoder, held_out.tokens, dtype=dtype)
        num_tokens = np.array([len(tokens) - 1 for tokens in held_out.tokens], np.int64)
        samples = sample_texts(
            decoder, parameters.prompts, parameters.sampling(), description.tokenizer, encode=encode, decode=decode
        )
    metrics = {
        **_scores(nats, held_out.num_bytes, parameters.seed),
        **_compressors(_text(inputs["corpus"], held_out)),
        "documents": len(held_out.doc_ids),
        "bytes": int(held_out.num_bytes.sum()),
        "tokens": int(num_tokens.sum()),
        "precision": precision_name(dtype),
        "samples": [sample.as_json() for sample in samples],
    }
    columns = [
        pa.array(held_out.doc_ids, pa.string()),
        pa.array(held_out.num_bytes),
        pa.array(num_tokens),
        pa.array(nats),
    ]
    output.table("documents", pa.Table.from_arrays(columns, schema=DOCUMENT_SCORES), DOCUMENT_SCORES)
    with output.file("scores", "scores.json") as path:
        path.write_text(json.dumps(metrics, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    num_over_limit = held_out.num_documents - len(held_out.doc_ids)
    return PartResult(
        account=Account(
            documents_in=held_out.num_documents,
            documents_out=len(held_out.doc_ids),
            dropped={"over_limit": num_over_limit},
        ),
        metrics=metrics,
    )


def _scores(nats: Nats, num_bytes: npt.NDArray[np.int64], seed: int) -> dict[str, Any]:
    total = bits_per_byte(nats, num_bytes)
    if not math.isfinite(total):
        raise DamagedModel(f"the loss on held-out text is {total}: its weights are of no use")
    return {
        "val_bits_per_byte": total,
        "val_bits_per_byte_interval": list(confidence_interval(nats, num_bytes, seed)),
    }


def _compressors(text: bytes) -> dict[str, float]:
    return {"gzip_bits_per_byte": gzip_bits_per_byte(text), "xz_bits_per_byte": xz_bits_per_byte(text)}


@contextmanager
def _held_out(
    stage: PublishedStage, description: ModelDescription, parameters: EvaluationParameters
) -> Iterator[_HeldOut]:
    """The documents to score; their tokens are views into mapped files, which stay open meanwhile."""
    doc_ids: list[str] = []
    num_bytes: list[int] = []
    tokens: list[Tokens] = []
    num_documents, total_bytes, is_full = 0, 0, False
    with contextlib.ExitStack() as copies:
        for record in stage.manifest.files("validation"):
            path = copies.enter_context(stage.store.local_copy(f"{stage.manifest.address.folder}/{record.path}"))
            shard = open_token_shard(path, description.tokenizer)
            num_documents += shard.num_rows
            for batch in [] if is_full else shard.to_batches():
                totals = total_bytes + np.cumsum(batch["num_bytes"].to_numpy())
                fitting = int(np.searchsorted(totals, parameters.max_bytes, side="right"))
                is_full = fitting < batch.num_rows
                if batch.num_rows and not doc_ids:
                    fitting = max(1, fitting)
                chosen = batch.slice(0, fitting)
                doc_ids += chosen["doc_id"].to_pylist()
                num_bytes += chosen["num_bytes"].to_pylist()
                tokens += _documents(chosen["tokens"], description.tokenizer, str(path))
                total_bytes = sum(num_bytes)
                if is_full:
                    break
        if total_bytes == 0:
            raise NothingToScore(
                f"the validation split has {num_documents} documents, and no text in them: nothing to evaluate on. "
                "Hold out a larger share of the corpus, or take more documents"
            )
        yield _HeldOut(
            doc_ids=doc_ids, num_bytes=np.array(num_bytes, np.int64), tokens=tokens, num_documents=num_documents
        )


def _documents(column: pa.LargeListArray, tokenizer: TokenizerIdentity, place: str) -> list[Tokens]:
    values = column.values.to_numpy(zero_copy_only=True)
    offsets = column.offsets.to_numpy()
    documents = [values[start:end] for start, end in itertools.pairwise(offsets.tolist())]
    for tokens in documents:
        if len(tokens) == 0 or int(tokens[0]) != tokenizer.bos_id or int(tokens.max()) >= tokenizer.vocab_size:
            raise DamagedFile(
                f"{place}: a document that does not begin with token {tokenizer.bos_id}, or has one beyond "
                f"{tokenizer.vocab_size - 1}; tokenize again"
            )
    return documents


def _text(corpus: PublishedStage, held_out: _HeldOut) -> bytes:
    """The text of the scored documents, in the order in which they were scored."""
    wanted = pa.array(held_out.doc_ids, pa.string())
    found: dict[str, bytes] = {}
    for name in corpus.part_names:
        documents = corpus.read("validation", name, CORPUS, columns=["doc_id", "text"])
        documents = documents.filter(pc.is_in(documents["doc_id"], value_set=wanted))
        texts = documents["text"].cast(pa.large_binary()).to_pylist()
        found.update(zip(documents["doc_id"].to_pylist(), texts, strict=True))
    differing = [
        doc_id
        for doc_id, num_bytes in zip(held_out.doc_ids, held_out.num_bytes.tolist(), strict=True)
        if len(found.get(doc_id, b"")) != num_bytes
    ]
    if differing:
        raise DamagedFile(
            f"{len(differing)} scored documents are not in the corpus as they were tokenized, the first "
            f"{differing[0]}: are tokens and corpus of one run?"
        )
    return b"".join(found[doc_id] for doc_id in held_out.doc_ids)
