"""Embeddings by an export, against stock `transformers` on the same files."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from exported_model import CONTEXT, byte_tokenizer, write_export

from model.embedding import NoSuchModel, embed_texts, export_digest


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_export(tmp_path_factory.mktemp("export"))


@pytest.fixture(scope="module")
def stock(export: Path) -> Any:
    from transformers import AutoModel  # seconds of import

    return AutoModel.from_pretrained(export, dtype=torch.float32).eval()


def embed(folder: Path, *texts: str) -> np.ndarray:
    return embed_texts(pa.chunked_array([pa.array(texts, pa.large_string())]), str(folder), device="cpu")


def token_ids(text: str) -> list[int]:
    return [1, *byte_tokenizer().encode(text, add_special_tokens=False).ids, 2]


def test_a_text_is_the_mean_of_the_last_hidden_states_that_transformers_sees(export, stock):
    texts = ["the cat", "", "the other thing", "déjà vu 漢字"]
    for text, vector in zip(texts, embed(export, *texts), strict=True):
        with torch.no_grad():
            states = stock(torch.tensor([token_ids(text)])).last_hidden_state[0]
        assert vector == pytest.approx(states.mean(dim=0).numpy(), abs=2e-5)


def test_long_texts_are_read_in_windows_that_do_not_overlap(export, stock):
    text = "the cat sat on the mat and thought of the other mat " * 3
    ids = token_ids(text)
    assert len(ids) > 2 * CONTEXT
    with torch.no_grad():
        states = torch.cat(
            [stock(torch.tensor([ids[at : at + CONTEXT]])).last_hidden_state[0] for at in range(0, len(ids), CONTEXT)]
        )
    (vector,) = embed(export, text)
    assert vector == pytest.approx(states.mean(dim=0).numpy(), abs=2e-5)


def test_other_texts_beside_it_change_a_vector_by_no_more_than_rounding(export):
    (alone,) = embed(export, "the cat")
    among = embed(export, "something long " * 20, "the cat", "the")[1]
    assert among == pytest.approx(alone, abs=1e-5)


def test_no_texts_give_no_vectors(export):
    assert embed(export).shape == (0, 64)


def test_folders_without_a_model_are_told_apart_from_models(export, tmp_path):
    assert export_digest(str(export)) == export_digest(str(export))
    with pytest.raises(NoSuchModel, match="no such folder; expected hashing, the folder of an exported model"):
        export_digest(str(tmp_path / "none"))
    with pytest.raises(NoSuchModel, match=r"not all of config\.json"):
        export_digest(str(tmp_path))
