"""Training as its user sees it: it learns, it is the same each time, and it accounts for every text."""

import csv
import io
import json
import random
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from pipeline_lib.classifier.model import KIND, load, save
from pipeline_lib.classifier.model_folder import NoSuchModel, stated_digest
from pipeline_lib.classifier.training import ClassifierParameters, TooFewTexts, TrainedClassifier, score, train
from pipeline_lib.kernels.arrow import string_buffers

SMALL = ClassifierParameters(bucket_bits=12)
PLAIN = ["the", "mill", "turns", "by", "day", "and", "night", "it", "takes", "grain", "that", "comes", "in", "sacks"]
LURID = [*PLAIN, "buy", "now", "cheap", "pills", "!!!", "click", "here"]


def made_up(count: int, words: list[str], seed: int) -> list[str]:
    draw = random.Random(seed)
    return [f"{number} " + " ".join(draw.choices(words, k=draw.randint(5, 60))) for number in range(count)]


def column(texts: list[str], chunk: int = 100) -> list[pa.ChunkedArray]:
    pieces = [texts[start : start + chunk] for start in range(0, len(texts), chunk)]
    return [pa.chunked_array([pa.array(piece, pa.large_string())]) for piece in pieces]


def scores(classifier: TrainedClassifier, texts: list[str]) -> np.ndarray:
    return score(*string_buffers(pa.array(texts, pa.large_string())), classifier)


@pytest.fixture(scope="module")
def trained() -> TrainedClassifier:
    return train(column(made_up(900, PLAIN, 1)), column(made_up(600, LURID, 2)), SMALL)


def test_it_tells_texts_apart_that_it_has_not_seen(trained: TrainedClassifier) -> None:
    assert trained.metrics["test"]["auc"] > 0.95
    assert trained.metrics["test"]["expected_calibration_error"] < 0.1
    good, bad = scores(trained, made_up(50, PLAIN, 3)), scores(trained, made_up(50, LURID, 4))
    assert np.median(good) > 0.9
    assert np.median(bad) < 0.1
    assert ((good >= 0) & (good <= 1)).all()


def test_a_text_without_a_word_scores_zero(trained: TrainedClassifier) -> None:
    assert scores(trained, ["", " \n", "\u0301"]).tolist() == [0, 0, 0]


def test_every_text_is_accounted_for() -> None:
    good, bad = made_up(300, PLAIN, 1), made_up(300, LURID, 2)
    both = good[0]
    found = train(column([*good, good[1], "", " "]), column([*bad, both, both, bad[5]]), SMALL).metrics
    assert (found["num_positive"], found["num_negative"]) == (303, 303)
    assert (found["num_conflicting"], found["num_repeated"], found["num_without_words"]) == (3, 2, 2)
    used = found["num_training"] + found["num_calibration"] + found["test"]["num_texts"]
    assert used + 3 + 2 + 2 == 606
    assert found["training_base_rate"] == pytest.approx(0.5, abs=0.05)


def test_copies_of_a_text_do_not_reach_the_test_from_training() -> None:
    # the same 150 lines ten times over, with labels that mean nothing: whoever knows them by heart would score 1
    noise = made_up(1000, PLAIN, 5)
    found = train(column(noise[:500] * 3), column(noise[500:] * 3), SMALL).metrics
    assert found["num_repeated"] == 2000
    assert 0.3 < found["test"]["auc"] < 0.7


def test_two_trainings_give_the_same_bytes_whatever_the_order_and_the_chunks(tmp_path: Path) -> None:
    good, bad = made_up(300, PLAIN, 1), made_up(300, LURID, 2)
    save(train(column(good), column(bad), SMALL), tmp_path / "one")
    save(train(column(good[::-1], chunk=7), column(bad[::-1], chunk=1000), SMALL), tmp_path / "two")
    for name in ("classifier.json", "model.safetensors"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    assert sorted(path.name for path in (tmp_path / "one").iterdir()) == ["classifier.json", "model.safetensors"]


def test_another_seed_gives_another_model() -> None:
    good, bad = column(made_up(300, PLAIN, 1)), column(made_up(300, LURID, 2))
    one = train(good, bad, SMALL)
    assert (one.weights != train(good, bad, ClassifierParameters(bucket_bits=12, seed=1)).weights).any()


def test_a_saved_classifier_scores_the_same_to_the_last_bit(trained: TrainedClassifier, tmp_path: Path) -> None:
    digest = save(trained, tmp_path)
    read = load(tmp_path)
    texts = made_up(50, LURID, 9)
    assert scores(read, texts).tolist() == scores(trained, texts).tolist()
    assert (read.parameters, read.metrics) == (trained.parameters, trained.metrics)
    assert stated_digest(tmp_path, KIND) == digest


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda folder: (folder / "classifier.json").unlink(), "no classifier.json"),
        (lambda folder: (folder / "classifier.json").write_text("{"), "no JSON"),
        (lambda folder: (folder / "classifier.json").write_text("[]"), "format"),
        (lambda folder: edit(folder, version=2), "version 2"),
        (lambda folder: edit(folder, digest=None), "no digest"),
        (lambda folder: edit(folder, calibration={"slope": 2.0, "intercept": 0.0}), "not of one model"),
        (lambda folder: (folder / "model.safetensors").unlink(), "not a whole safetensors file"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b"\xff" * 100), "not a whole safetensors file"),
        (lambda folder: flip(folder / "model.safetensors"), "not of one model"),
    ],
)
def test_what_is_no_classifier_of_ours_is_refused(trained, tmp_path: Path, change, match: str) -> None:
    save(trained, tmp_path)
    change(tmp_path)
    with pytest.raises(NoSuchModel, match=match):
        load(tmp_path)


def edit(folder: Path, **changes: object) -> None:
    stated = json.loads((folder / "classifier.json").read_text())
    (folder / "classifier.json").write_text(json.dumps({**stated, **changes}))


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def test_a_folder_that_is_not_there_is_named() -> None:
    with pytest.raises(NoSuchModel, match="no-such-place: no such folder"):
        load(Path("no-such-place"))


def test_too_few_texts_are_said_to_be_too_few() -> None:
    with pytest.raises(TooFewTexts, match="different negative texts"):
        train(column(made_up(300, PLAIN, 1)), column(["only one"] * 300), SMALL)


@pytest.mark.parametrize("bad", [pa.array([1, 2]), pa.array(["a", None])])
def test_a_column_that_is_not_whole_text_is_refused(bad: pa.Array) -> None:
    with pytest.raises((TypeError, ValueError), match="expected a column"):
        train([pa.chunked_array([bad])], column(["x"]), SMALL)


def test_text_that_is_not_utf8_is_refused() -> None:
    broken = pa.array([b"\xff\xfe"], pa.large_binary()).view(pa.large_string())
    with pytest.raises(ValueError, match="UTF8"):
        train([pa.chunked_array([broken])], column(["x"]), SMALL)


@pytest.mark.parametrize(
    "wrong",
    [
        {"bucket_bits": 40},
        {"epochs": 0},
        {"learning_rate": 0.0},
        {"learning_rate": float("nan")},
        {"held_out_ratio": 1.0},
        {"seed": -1},
    ],
)
def test_parameters_that_cannot_be_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        ClassifierParameters(**wrong)


def test_it_learns_which_posts_people_called_offensive(shared_data: Path) -> None:
    raw = pa.input_stream(str(shared_data / "eval/toxicity/labeled_data.csv.zst"), compression="zstd").read()
    rows = list(csv.DictReader(io.StringIO(raw.decode())))
    decent = [row["tweet"] for row in rows if row["class"] == "2"]
    rude = [row["tweet"] for row in rows if row["class"] in ("0", "1")]
    test = train(column(decent), column(rude), ClassifierParameters()).metrics["test"]
    assert test["base_rate"] == pytest.approx(0.17, abs=0.03)
    assert test["auc"] > 0.95
    assert test["balanced_accuracy"] > 0.85
    assert test["expected_calibration_error"] < 0.05
