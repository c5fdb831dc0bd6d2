"""Scores under an export, against stock `transformers` on the same files."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from exported_model import CONTEXT, byte_tokenizer, write_export

from model.devices import NoSuchDevice
from model.exported import is_export
from model.model_files import DamagedModel
from model.scoring import score_texts


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_export(tmp_path_factory.mktemp("export"))


def scores(folder: Path, *texts: str, **settings: Any) -> list[float]:
    column = pa.chunked_array([pa.array(texts, pa.large_string())])
    found: list[float] = score_texts(
        str(folder), column, **{"device": "cpu", "precision": "float32", **settings}
    ).tolist()
    return found


@pytest.fixture(scope="module")
def stock(export: Path) -> Any:
    from transformers import AutoModelForCausalLM  # seconds of import

    return AutoModelForCausalLM.from_pretrained(export, dtype=torch.float32).eval()


def stock_score(stock: Any, text: str) -> float:
    """What transformers' own loss says of a text that fits the context."""
    tokenizer = byte_tokenizer()
    tokenizer.encode_special_tokens = True
    ids = torch.tensor([[1, *tokenizer.encode(text, add_special_tokens=False).ids, 2]])
    with torch.no_grad():
        loss = stock(ids, labels=ids).loss.item()
    return loss * (ids.shape[1] - 1) / math.log(2) / len(text.encode())


def test_scores_are_those_of_stock_transformers(export: Path, stock: Any) -> None:
    texts = ["the mill", "é 猫", "a", "hethe thet", "\x00\u0301"]
    for found, text in zip(scores(export, *texts), texts, strict=True):
        assert found == pytest.approx(stock_score(stock, text), rel=1e-3)


def test_text_that_spells_a_special_token_is_text(export: Path, stock: Any) -> None:
    (found,) = scores(export, "a</s>b")
    assert found == pytest.approx(stock_score(stock, "a</s>b"), rel=1e-3)
    assert found * 6 > 6  # six bytes to pay for, not one token


def test_a_text_longer_than_the_context_is_scored_in_windows_that_overlap(export: Path, stock: Any) -> None:
    text = "".join(chr(97 + number * 7 % 19) for number in range(70))
    tokenizer = byte_tokenizer()
    ids = [1, *tokenizer.encode(text, add_special_tokens=False).ids, 2]
    nats = 0.0
    scored = 1  # tokens from here on have no loss yet
    while scored < len(ids):
        end = min(len(ids) - 1, max(CONTEXT, scored - 1 + CONTEXT // 2))  # the last target
        window = torch.tensor([ids[max(0, end - CONTEXT) : end + 1]])
        with torch.no_grad():
            losses = torch.nn.functional.cross_entropy(stock(window[:, :-1]).logits[0], window[0, 1:], reduction="none")
        nats += losses[scored - end - 1 :].sum().item()
        scored = end + 1
    assert scores(export, text)[0] == pytest.approx(nats / math.log(2) / len(text), rel=1e-3)


def test_a_score_does_not_depend_on_the_company(export: Path) -> None:
    texts = ["the mill", "x" * 100, "", "猫" * 20]
    alone = [scores(export, text)[0] for text in texts]
    together = scores(export, *texts)
    assert together == pytest.approx(alone, rel=1e-5, nan_ok=True)
    assert math.isnan(together[2])
    assert together == pytest.approx(scores(export, *texts), rel=0, abs=0, nan_ok=True)


def test_a_slice_of_a_column_is_scored_as_a_slice(export: Path) -> None:
    column = pa.chunked_array([pa.array(["one", "two"]), pa.array(["three", "four"])]).slice(1, 2)
    found = score_texts(str(export), column, device="cpu", precision="float32")
    assert found.tolist() == pytest.approx(scores(export, "two", "three"), rel=1e-5)
    nothing = score_texts(str(export), column.slice(0, 0), device="cpu")
    assert nothing.dtype == np.float64
    assert len(nothing) == 0


def copied(export: Path, target: Path) -> Path:
    for path in export.iterdir():
        (target / path.name).write_bytes(path.read_bytes())
    return target


def without_end_token(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "eos_token_id": None}))


def with_a_larger_vocabulary(folder: Path) -> None:
    tokenizer = byte_tokenizer()
    tokenizer.add_tokens([f"new{number}" for number in range(20)])
    tokenizer.save(str(folder / "tokenizer.json"))


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda folder: (folder / "tokenizer.json").unlink(), r"no tokenizer\.json in it"),
        (lambda folder: (folder / "tokenizer.json").write_text("{}"), "no tokenizer"),
        (lambda folder: (folder / "tokenizer.json").write_bytes(b"\xff\xfe"), "no tokenizer"),
        (lambda folder: (folder / "config.json").write_text("[]"), "expected a JSON object"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b"short"), "not a whole safetensors file"),
        (without_end_token, "eos_token_id is None"),
        (with_a_larger_vocabulary, "the model knows ids below 270"),
    ],
)
def test_what_is_no_whole_export_is_refused(export: Path, tmp_path: Path, change: Any, match: str) -> None:
    folder = copied(export, tmp_path)
    change(folder)
    with pytest.raises(DamagedModel, match=match):
        scores(folder, "a")


def test_an_export_is_told_by_its_files(export: Path, tmp_path: Path) -> None:
    assert is_export(export)
    assert not is_export(tmp_path)


@pytest.mark.parametrize("bad", [pa.array([1, 2]), pa.array(["a", None])])
def test_a_column_that_cannot_be_scored_is_refused(export: Path, bad: pa.Array) -> None:
    with pytest.raises((TypeError, ValueError), match="expected a column"):
        score_texts(str(export), pa.chunked_array([bad]))


@pytest.mark.skipif(torch.cuda.is_available(), reason="the device that is asked for is there")
def test_a_device_that_is_not_there_is_said(export: Path) -> None:
    with pytest.raises(NoSuchDevice):
        scores(export, "a", device="cuda")
