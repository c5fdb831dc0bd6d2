"""The export as its reader sees it: stock `transformers`, which knows nothing of us."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import TypeAdapter
from tokenizers import Tokenizer, models, pre_tokenizers

from model.config import DecoderConfig
from model.decoder import Decoder, initialise
from model.export.huggingface import config_from_json, config_json, generation_config_json, read_exported
from model.export.parameters import ExportParameters
from model.export.stage import export_part
from model.model_files import DamagedModel, ModelDescription, write_description, write_weights
from model.parameters import SamplingParameters
from model.sampling import continue_tokens
from storage.accounts import Account
from storage.manifests import Part, PartResult, PartWriter, PublishedStage
from storage.token_shards import TokenizerIdentity

TOKENIZER = TokenizerIdentity(digest="ab" * 32, vocab_size=128, unk_id=0, bos_id=1, eos_id=2, pad_id=3)
GROUPED = DecoderConfig(  # heads · head width is not the width, and heads share keys
    vocab_size=128, context=64, num_layers=3, width=96, num_heads=4, num_key_value_heads=2, feed_forward_width=160,
    head_width=32,
)  # fmt: skip
ALONE = DecoderConfig(
    vocab_size=128, context=64, num_layers=2, width=64, num_heads=1, num_key_value_heads=1, feed_forward_width=128,
    rope_theta=1e6, norm_epsilon=1e-5, tied_embeddings=False,
)  # fmt: skip
FACTS = {
    "name": "Demo of the mill",
    "recipe": "demo",
    "recipe_digest": "ab12",
    "corpus_digest": "cd34",
    "run_id": "2026-11-22-grind",
    "scores": {"val_bits_per_byte": 1.71828, "xz_bits_per_byte": 1.9},
}


def shaken(config: DecoderConfig) -> Decoder:
    """Random in every weight, norms included: a wrong place for any of them would show."""
    decoder = Decoder(config)
    initialise(decoder, seed=0)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in decoder.parameters():
            weight.normal_(1.0 if weight.dim() == 1 else 0.0, 0.2 if weight.dim() == 1 else 0.08, generator=generator)
    return decoder


def word_tokenizer() -> dict[str, bytes]:
    vocab = {"<unk>": 0, "<s>": 1, "</s>": 2, "<pad>": 3} | {f"w{number}": number for number in range(4, 128)}
    tokenizer = Tokenizer(models.WordLevel(vocab, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<s>", "eos_token": "</s>"}
    return {
        "tokenizer.json": tokenizer.to_str().encode(),
        "tokenizer_config.json": json.dumps(config).encode(),
        "tokenizer.model": b"model",
    }


def export(mill, decoder: Decoder, parameters: ExportParameters | None = None, **changes: Any) -> PublishedStage:
    def train(part: Part, inputs: Mapping[str, PublishedStage], output: PartWriter) -> PartResult:
        with output.file("model", "model.safetensors") as path:
            write_weights(decoder, path)
        with output.file("config", "config.json") as path:
            write_description(ModelDescription(config=decoder.config, tokenizer=TOKENIZER), path)
        return PartResult(account=Account(documents_in=0, documents_out=0))

    inputs = {"train": mill.run("train", train, {})}
    given = {"tokenizer_files": word_tokenizer(), "facts": FACTS, **changes}
    return mill.run("export", export_part, inputs, parameters or ExportParameters(), **given)


def folder(stage: PublishedStage) -> Path:
    return Path(stage.store.full_path(f"{stage.manifest.address.folder}/huggingface"))


def load_stock(place: Path) -> Any:
    from transformers import AutoModelForCausalLM  # seconds of import, for the tests that load

    model, report = AutoModelForCausalLM.from_pretrained(place, dtype=torch.float32, output_loading_info=True)
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
    return model.eval()


@pytest.mark.parametrize("config", [GROUPED, ALONE])
def test_stock_transformers_computes_the_same_logits_and_the_same_text(mill, config: DecoderConfig) -> None:
    decoder = shaken(config)
    stock = load_stock(folder(export(mill, decoder)))
    assert type(stock).__name__ == "Qwen3ForCausalLM"
    ids = torch.randint(4, 128, (2, 50), generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        difference = (decoder(ids) - stock(ids).logits).abs().max().item()
    assert difference < 1e-4

    prompt = ids[0, :10]
    theirs = stock.generate(
        prompt[None], max_new_tokens=30, do_sample=False, temperature=None, top_p=None, eos_token_id=None,
        pad_token_id=3,
    )  # fmt: skip
    ours = continue_tokens(
        decoder, prompt.tolist(), SamplingParameters(max_new_tokens=30, temperature=0), end_of_text=-1
    )
    assert theirs[0, 10:].tolist() == list(ours.tokens)


def test_a_wrong_angle_of_rotation_would_be_noticed(mill) -> None:
    # the control of the test above: its bound is far below what a mistake costs
    decoder = shaken(GROUPED)
    place = folder(export(mill, decoder))
    config = json.loads((place / "config.json").read_text())
    config["rope_theta"] = config["rope_parameters"]["rope_theta"] = 11_000.0
    (place / "config.json").write_text(json.dumps(config))
    ids = torch.arange(4, 60)[None]
    with torch.no_grad():
        assert (decoder(ids) - load_stock(place)(ids).logits).abs().max().item() > 1e-2


def test_stock_transformers_loads_the_tokenizer_and_the_defaults_of_generation(mill) -> None:
    from transformers import AutoTokenizer, GenerationConfig

    place = folder(export(mill, shaken(GROUPED)))
    assert AutoTokenizer.from_pretrained(place)("w5 w9", add_special_tokens=False)["input_ids"] == [5, 9]
    defaults = GenerationConfig.from_pretrained(place)
    assert (defaults.do_sample, defaults.temperature, defaults.top_p) == (True, 0.8, 0.95)
    assert (defaults.bos_token_id, defaults.eos_token_id, defaults.pad_token_id) == (1, 2, 3)


def test_an_exported_folder_is_read_back_to_the_bit(mill) -> None:
    decoder = shaken(ALONE)
    read = read_exported(folder(export(mill, decoder)))
    assert read.config == ALONE
    ids = torch.arange(4, 60)[None]
    with torch.no_grad():
        assert torch.equal(read(ids), decoder(ids))


def test_what_transformers_saves_again_is_read_back_too(mill, tmp_path: Path) -> None:
    decoder = shaken(GROUPED)
    load_stock(folder(export(mill, decoder))).save_pretrained(tmp_path / "again")
    read = read_exported(tmp_path / "again")
    assert read.config == GROUPED
    assert torch.equal(read.lm_head.weight, decoder.lm_head.weight)


@pytest.mark.parametrize(("config", "num_tied"), [(GROUPED, 1), (ALONE, 0)])
def test_every_tensor_is_written_or_is_the_embedding(mill, config: DecoderConfig, num_tied: int) -> None:
    account = export(mill, shaken(config)).manifest.account
    assert (account.unit_in, account.unit_out) == ("tensors", "tensors")
    assert account.documents_in == config.num_layers * 11 + 3
    assert account.dropped.get("tied", 0) == account.documents_in - account.documents_out == num_tied


def test_bfloat16_halves_the_file(mill) -> None:
    decoder = shaken(GROUPED)
    stage = export(mill, decoder, ExportParameters(dtype="bfloat16"))
    assert (folder(stage) / "model.safetensors").stat().st_size < 2.1 * GROUPED.num_parameters() + 10_000
    assert json.loads((folder(stage) / "config.json").read_text())["dtype"] == "bfloat16"
    assert torch.equal(read_exported(folder(stage)).lm_head.weight, decoder.lm_head.weight.bfloat16().float())


def test_the_model_card_says_where_the_model_comes_from(mill) -> None:
    facts = {**FACTS, "pages": "a | b\n## not a heading"}
    card = (folder(export(mill, shaken(GROUPED), facts=facts)) / "README.md").read_text()
    assert card.startswith("---\nlibrary_name: transformers\n")
    assert "# Demo of the mill" in card
    for row in (
        "| recipe | demo |", "| recipe digest | ab12 |", "| corpus digest | cd34 |", "| run id | 2026-11-22-grind |",
        "| val bits per byte | 1.718 |", "| pages | a \\| b ## not a heading |",
    ):  # fmt: skip
        assert f"\n{row}\n" in card
    assert f"{GROUPED.num_parameters():,} parameters" in card
    assert "AutoModelForCausalLM.from_pretrained" in card


def test_a_card_of_no_facts_has_no_empty_tables(mill) -> None:
    card = (folder(export(mill, shaken(GROUPED), facts={})) / "README.md").read_text()
    assert "|---|" not in card


@pytest.mark.parametrize("name", ["config.json", "README.md", "../evil.json", "sub/file.json", ""])
def test_a_tokenizer_file_may_not_take_another_files_place(mill, name: str) -> None:
    with pytest.raises(ValueError, match="file name of its own"):
        export(mill, shaken(GROUPED), tokenizer_files={name: b""})


def test_greedy_defaults_of_generation_do_not_sample() -> None:
    greedy = generation_config_json(TOKENIZER, SamplingParameters(temperature=0))
    assert greedy["do_sample"] is False
    assert "temperature" not in greedy
    assert generation_config_json(TOKENIZER, SamplingParameters(top_k=40))["top_k"] == 40


PLAIN = config_json(GROUPED, TOKENIZER, "float32")


def without(*names: str) -> dict[str, Any]:
    return {name: value for name, value in PLAIN.items() if name not in names}


@pytest.mark.parametrize(
    "known",
    [
        PLAIN,
        without("rope_theta"),
        without("rope_parameters"),
        without("sliding_window", "attention_bias", "torch_dtype"),
    ],
)
def test_configurations_of_old_and_new_versions_of_transformers_are_read(known: dict[str, Any]) -> None:
    assert config_from_json(known, "here") == GROUPED


@pytest.mark.parametrize(
    ("foreign", "complaint"),
    [
        (None, "JSON object"),
        ({}, "model_type"),
        ({**PLAIN, "model_type": "gemma3"}, "model_type"),
        ({**PLAIN, "attention_bias": True}, "attention_bias"),
        ({**PLAIN, "hidden_act": "gelu"}, "hidden_act"),
        ({**PLAIN, "use_sliding_window": True}, "use_sliding_window"),
        ({**PLAIN, "rope_scaling": {"type": "yarn"}}, "rope"),
        ({**PLAIN, "rope_parameters": {"rope_type": "yarn"}}, "rope"),
        ({**PLAIN, "rope_parameters": [1]}, "rope"),
        ({**PLAIN, "hidden_size": "96"}, "width"),
        ({**PLAIN, "num_hidden_layers": -3}, "num_layers"),
        (without("hidden_size"), "width"),
        ({**PLAIN, "num_key_value_heads": 3}, "num_key_value_heads"),
        ({**PLAIN, "rope_parameters": {"rope_theta": float("inf")}}, "rope_theta"),
    ],
)
def test_models_that_we_would_compute_wrongly_are_refused(foreign: Any, complaint: str) -> None:
    with pytest.raises(DamagedModel, match=complaint):
        config_from_json(foreign, "here")


def test_a_recipe_may_choose_the_type_of_the_weights_only_among_those_there_are() -> None:
    adapter = TypeAdapter(ExportParameters)
    assert adapter.validate_python({"sampling": {"temperature": 0.5}}).sampling.temperature == 0.5
    with pytest.raises(ValueError, match="dtype"):
        adapter.validate_python({"dtype": "int8"})
