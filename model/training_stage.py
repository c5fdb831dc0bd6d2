"""The stage train: token shards to a model, with checkpoints beside it while it lasts."""

import contextlib
import dataclasses
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from model.batches import Rows, TokenStream
from model.devices import choose_device, choose_precision, precision_name
from model.model_files import ModelDescription, write_description, write_weights
from model.parameters import TrainingParameters
from model.training import CheckpointPlace, TrainedDecoder, TrainingStep, train
from storage.accounts import Account
from storage.digests import joined_digest, value_digest
from storage.manifests import Part, PartResult, PartWriter, PublishedStage


def train_part(
    part: Part,
    inputs: Mapping[str, PublishedStage],
    output: PartWriter,
    parameters: TrainingParameters,
    on_step: Callable[[TrainingStep], None] | None = None,
    on_resume: Callable[[Sequence[TrainingStep]], None] | None = None,
) -> PartResult:
    """Train a decoder on the training shards: files `model` (safetensors), `config` (JSON) and `log` (JSON lines, one
    a step). Input: tokens.

    The account is of tokens: those of the shards that are in some row, and those that do not fill one at the end.
    `on_step` hears of every step as it is done, `on_resume` before that of those that earlier sittings did; both are no
    part of the result.

    Raises:
        TooFewTokens, TokenizerMismatch, Diverged, ForeignCheckpoint: see there.
    """
    with _token_streams(inputs["tokens"]) as (training, validation):
        rows = Rows(training, parameters.context, "training")
        validation_rows = None
        if validation is not None:
            training.tokenizer.require(validation.tokenizer, "the validation split")
            if validation.num_tokens > parameters.context:
                validation_rows = Rows(validation, parameters.context, "validation")
        config = parameters.model.config(vocab_size=training.tokenizer.vocab_size, context=parameters.context)
        place = CheckpointPlace(
            store=output.store,
            folder=f"{output.address.folder}/checkpoints",
            fingerprint=_fingerprint(inputs["tokens"], parameters),
        )
        trained = train(config, parameters, rows, validation_rows, place, on_step, on_resume)
        account = Account(
            documents_in=training.num_tokens,
            documents_out=rows.num_tokens,
            dropped={"incomplete_last_row": training.num_tokens - rows.num_tokens},
            unit_in="tokens",
            unit_out="tokens",
        )
        description = ModelDescription(config=config, tokenizer=training.tokenizer)
    with output.file("model", "model.safetensors") as path:
        write_weights(trained.decoder, path)
    with output.file("config", "config.json") as path:
        write_description(description, path)
    with output.file("log", "log.jsonl", rows=len(trained.log), varies=True) as path:  # it has times in it
        path.write_text("".join(json.dumps(entry.as_json()) + "\n" for entry in trained.log), encoding="utf-8")
    return PartResult(account=account, metrics=_metrics(trained, parameters, rows))


@contextmanager
def _token_streams(tokens: PublishedStage) -> Iterator[tuple[TokenStream, TokenStream | None]]:
    """Both splits, mapped; the second is None where no shard holds it."""
    with contextlib.ExitStack() as copies:
        paths = {
            split: [
                copies.enter_context(tokens.store.local_copy(f"{tokens.manifest.address.folder}/{record.path}"))
                for record in tokens.manifest.files(split)
            ]
            for split in ("train", "validation")
        }
        validation = TokenStream.open(paths["validation"]) if paths["validation"] else None
        yield TokenStream.open(paths["train"]), validation


def _fingerprint(tokens: PublishedStage, parameters: TrainingParameters) -> dict[str, str]:
    device = choose_device(parameters.device)
    return {
        "shards": joined_digest(
            record.sha256 for split in ("train", "validation") for record in tokens.manifest.files(split)
        ),
        "parameters": value_digest(dataclasses.asdict(parameters)),
        "device": device.type,
        "precision": precision_name(choose_precision(parameters.precision, device)),
    }


def _metrics(trained: TrainedDecoder, parameters: TrainingParameters, rows: Rows) -> dict[str, Any]:
    device = choose_device(parameters.device)
    tokens_seen = parameters.steps * parameters.batch_tokens
    validation = [
        [entry.step, entry.validation_loss] for entry in trained.log if entry.validation_loss is not None
    ]  # fmt: skip
    return {
        "parameters": trained.decoder.config.num_parameters(),
        "steps": parameters.steps,
        "tokens_seen": tokens_seen,
        "epochs": tokens_seen / (rows.num_rows * rows.context),
        "final_loss": trained.log[-1].loss,
        "validation_loss": validation[-1][1] if validation else None,
        "validation_curve": validation,
        "seconds": trained.seconds,
        "tokens_per_second": tokens_seen / trained.seconds,
        "device": device.type,
        "precision": precision_name(choose_precision(parameters.precision, device)),
        "num_threads": parameters.num_threads or torch.get_num_threads(),
        "resumed_from": trained.resumed_from,
        "damaged_checkpoints": list(trained.damaged_checkpoints),
    }
