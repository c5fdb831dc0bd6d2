"""The stage export: a trained model as a folder that `transformers` loads without code of ours."""

import json
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

import torch

from model.export.huggingface import config_json, generation_config_json
from model.export.model_card import model_card
from model.export.parameters import ExportParameters
from model.model_files import read_decoder, read_description, weight_tensors, write_weights
from storage.accounts import Account
from storage.manifests import Part, PartResult, PartWriter, PublishedStage

FOLDER = "huggingface"
_WRITTEN_HERE = ("model.safetensors", "config.json", "generation_config.json", "README.md")
_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def export_part(
    part: Part,
    inputs: Mapping[str, PublishedStage],
    output: PartWriter,
    parameters: ExportParameters,
    *,
    tokenizer_files: Mapping[str, bytes],
    facts: Mapping[str, Any],
) -> PartResult:
    """Write the files of table `huggingface`: weights, configurations, the given tokenizer files, the model card.

    Input: train. The account is of the model's tensors: a head that is the embedding is dropped as `tied`.

    Args:
        tokenizer_files: by file name, such as `tokenizer.json`.
        facts: what the card says of the model's making, by name (`recipe`, `recipe_digest`, `corpus_digest`, `run_id`,
            …); `name` becomes its title, and `scores`, a mapping, a table of its own.

    Raises:
        ValueError: a tokenizer file has a name that is taken, or is no plain file name.
        DamagedModel: the trained model's files are not whole.
    """
    for name in tokenizer_files:
        if name in _WRITTEN_HERE or name in ("", "..") or PurePosixPath(name).name != name:
            raise ValueError(f"tokenizer file {name!r}: expected a file name of its own, none of {_WRITTEN_HERE}")
    with inputs["train"].local_file("config") as path:
        description = read_description(path)
    with inputs["train"].local_file("model") as path:
        decoder = read_decoder(path, description.config)
    dtype = _DTYPES[parameters.dtype]
    tensors = weight_tensors(decoder, dtype)
    with output.file(FOLDER, "model.safetensors", rows=len(tensors)) as path:
        write_weights(decoder, path, dtype)
    card = model_card(
        str(facts.get("name", "Gristmill model")),
        description.config.as_json(),
        description.config.num_parameters(),
        {
            "What it was made of": {
                key.replace("_", " "): value for key, value in facts.items() if key not in ("name", "scores")
            },
            "Scores": {key.replace("_", " "): value for key, value in facts.get("scores", {}).items()},
        },
    )
    config = config_json(description.config, description.tokenizer, parameters.dtype)
    generation_config = generation_config_json(description.tokenizer, parameters.sampling)
    files = {
        "config.json": _json_bytes(config),
        "generation_config.json": _json_bytes(generation_config),
        "README.md": card.encode(),
        **tokenizer_files,
    }
    for name in sorted(files):
        with output.file(FOLDER, name, varies=name == "README.md") as path:  # the card names the run
            path.write_bytes(files[name])
    num_tensors = len(decoder.state_dict())
    return PartResult(
        account=Account(
            documents_in=num_tensors,
            documents_out=len(tensors),
            dropped={"tied": num_tensors - len(tensors)},
            unit_in="tensors",
            unit_out="tensors",
        ),
        metrics={
            "parameters": description.config.num_parameters(),
            "dtype": parameters.dtype,
            "files": sorted([*files, "model.safetensors"]),
            "bytes": sum(record.bytes for record in output.files if record.table == FOLDER),
        },
    )


def _json_bytes(value: Any) -> bytes:
    return (json.dumps(value, indent=2) + "\n").encode()
