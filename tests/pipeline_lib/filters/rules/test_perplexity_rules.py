"""The rule set `perplexity`: its bounds, and which model speaks."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pytest

from pipeline_lib.filters.conditions import measured_part
from pipeline_lib.filters.rules.perplexity import SIGNALS, PerplexityRules, kind_of, measure, model_digest, signals_from
from pipeline_lib.filters.texts import Texts
from pipeline_lib.perplexity.model import save
from pipeline_lib.perplexity.ngrams import NgramParameters, train
from storage.wrong_request import WrongRequest


def texts(*values: str) -> Texts:
    return Texts(pa.chunked_array([pa.array(values, pa.large_string())]))


@pytest.fixture
def folder(tmp_path: Path) -> str:
    save(train([texts(*(f"grain comes in sacks {n}" for n in range(99))).column], NgramParameters()), tmp_path / "mine")
    return str(tmp_path / "mine")


@pytest.fixture
def exported(tmp_path: Path) -> str:
    for name in ("config.json", "model.safetensors", "tokenizer.json"):
        (tmp_path / name).write_text(json.dumps({"is": name}))
    return str(tmp_path)


def test_the_signal_is_what_a_byte_costs(folder: str) -> None:
    signals = measure(texts("grain comes", "%&$§", ""), PerplexityRules(model=folder))
    assert tuple(signals) == SIGNALS
    cheap, dear, empty = signals["perplexity_bits_per_byte"]
    assert cheap < 2 < 7 < dear
    assert empty == 8


def test_the_bounds_are_allowed_values_and_what_is_beyond_is_not() -> None:
    conditions = PerplexityRules(model="any", min_bits_per_byte=1.0, max_bits_per_byte=2.0).conditions()
    bits = pl.DataFrame({"perplexity_bits_per_byte": [0.9, 1.0, 2.0, 2.1]})
    broken = {each.rule: bits.select(each.broken()).to_series().to_list() for each in conditions}
    assert broken == {
        "perplexity.too_predictable": [True, False, False, False],
        "perplexity.too_surprising": [False, False, False, True],
    }


def test_without_a_perplexity_model_nothing_is_measured_or_asked() -> None:
    rules = PerplexityRules(max_bits_per_byte=2.0)
    assert (measure(texts("a"), rules), rules.conditions(), model_digest(rules)) == ({}, (), None)


def test_bounds_are_no_part_of_what_is_measured(folder: str) -> None:
    rules = PerplexityRules(model=folder, min_bits_per_byte=1.0, max_bits_per_byte=2.0)
    assert measured_part(rules) == PerplexityRules(model=folder)


def test_the_kind_of_a_model_is_told_by_its_files(folder: str, exported: str) -> None:
    assert (kind_of(folder), kind_of(exported)) == ("ngram", "export")


def test_the_digest_of_an_export_is_that_of_its_files(exported: str) -> None:
    before = model_digest(PerplexityRules(model=exported))
    (Path(exported) / "README.md").write_text("says nothing of scores")
    assert model_digest(PerplexityRules(model=exported)) == before
    (Path(exported) / "tokenizer.json").write_text("{}")
    assert model_digest(PerplexityRules(model=exported)) != before


def test_numbers_of_an_exported_model_become_the_signal() -> None:
    signals = signals_from(np.array([1.5, np.nan]))
    assert signals["perplexity_bits_per_byte"].tolist() == [1.5, 8.0]


def test_a_folder_without_a_model_is_a_wrong_request(tmp_path: Path) -> None:
    for place, match in ((tmp_path / "nowhere", "no such folder"), (tmp_path, r"neither ngrams\.json nor config")):
        with pytest.raises(WrongRequest, match=match):
            kind_of(str(place))
        with pytest.raises(WrongRequest, match=match):
            model_digest(PerplexityRules(model=str(place)))


def test_an_exported_model_is_not_measured_here(exported: str) -> None:
    with pytest.raises(WrongRequest, match=r"no ngrams\.json in it"):
        measure(texts("a"), PerplexityRules(model=exported))


@pytest.mark.parametrize("wrong", [{"min_bits_per_byte": 3.0, "max_bits_per_byte": 2.0}, {"max_bits_per_byte": -1.0}])
def test_bounds_that_no_text_meets_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="bits_per_byte"):
        PerplexityRules(model="any", **wrong)
