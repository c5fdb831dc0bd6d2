"""Configurations: what no model can be is refused by name, and the arithmetic of parameters is right."""

import math

import pytest
from pydantic import TypeAdapter, ValidationError

from model.config import PRESETS, BadModelConfig, DecoderConfig, DecoderParameters
from model.decoder import Decoder

GOOD = {
    "vocab_size": 260, "context": 32, "num_layers": 2, "width": 64, "num_heads": 4, "num_key_value_heads": 2,
    "feed_forward_width": 128,
}  # fmt: skip


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("preset", ["test", "nano", "10M"])
def test_num_parameters_is_what_the_decoder_has(preset, tied) -> None:
    config = DecoderParameters(preset=preset, tied_embeddings=tied).config(vocab_size=512, context=32)
    assert config.num_parameters() == sum(weight.numel() for weight in Decoder(config).parameters())


@pytest.mark.parametrize(
    ("preset", "vocab_size", "millions"),
    [
        ("test", 512, 0.13),
        ("nano", 4096, 3.2),
        ("10M", 8192, 8),
        ("30M", 16384, 32),
        ("60M", 32000, 61),
        ("135M", 32000, 141),
    ],
)
def test_presets_have_the_size_of_their_name(preset, vocab_size, millions) -> None:
    config = DecoderParameters(preset=preset).config(vocab_size=vocab_size, context=512)
    assert config.num_parameters() / 1e6 == pytest.approx(millions, rel=0.2)
    assert config.head_width == 64


def test_a_recipe_may_change_single_dimensions_of_a_preset() -> None:
    config = DecoderParameters(preset="nano", num_layers=4, width=128).config(vocab_size=512, context=64)
    assert (config.num_layers, config.width, config.num_heads) == (4, 128, PRESETS["nano"].num_heads)
    assert config.feed_forward_width == 320  # 8/3 of 128 is 341, to the nearest 64


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"num_layers": 0}, "num_layers"),
        ({"width": -64}, "width"),
        ({"width": 64.0}, "width"),
        ({"width": 1 << 31}, "width"),
        ({"vocab_size": True}, "vocab_size"),
        ({"num_key_value_heads": 3}, "num_key_value_heads=3"),
        ({"head_width": 33}, "odd"),
        ({"rope_theta": math.nan}, "rope_theta"),
        ({"rope_theta": math.inf}, "rope_theta"),
        ({"norm_epsilon": 0.0}, "norm_epsilon"),
        ({"norm_epsilon": "1e-6"}, "norm_epsilon"),
        ({"tied_embeddings": 1}, "tied_embeddings"),
        ({"context": None}, "context"),
    ],
)
def test_impossible_dimensions_are_refused_by_name(change, complaint) -> None:
    with pytest.raises(BadModelConfig, match=complaint):
        DecoderConfig(**{**GOOD, **change})


@pytest.mark.parametrize("value", [None, [], "x", {}, {**GOOD}, {**DecoderConfig(**GOOD).as_json(), "extra": 1}])
def test_json_with_other_fields_is_no_configuration(value) -> None:
    with pytest.raises(BadModelConfig):
        DecoderConfig.from_json(value)


def test_a_configuration_survives_json() -> None:
    config = DecoderConfig(**GOOD)
    assert DecoderConfig.from_json(config.as_json()) == config


def test_a_recipe_with_an_unknown_field_is_refused() -> None:
    with pytest.raises(ValidationError, match="layers"):
        TypeAdapter(DecoderParameters).validate_python({"layers": 3})
