"""Training the small models that judge texts, from anyone's files: the classifier and the n-gram model."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
from pydantic import TypeAdapter, ValidationError

from flows.settings import SettingsError, apply_override, explain, known_keys
from pipeline_lib.classifier import model as classifier_model
from pipeline_lib.classifier.training import ClassifierParameters
from pipeline_lib.classifier.training import train as train_classifier
from pipeline_lib.perplexity import model as ngram_model
from pipeline_lib.perplexity.ngrams import NgramParameters
from pipeline_lib.perplexity.ngrams import train as train_ngrams
from pipeline_lib.text_files.finding import find_files
from pipeline_lib.text_files.reading import check_file, read_batches

Parameters = TypeVar("Parameters", ClassifierParameters, NgramParameters)


def make_classifier(
    positive: Sequence[str], negative: Sequence[str], out: Path, overrides: Sequence[str], text_field: str
) -> dict[str, Any]:
    """Train a classifier and write it to `out`; returns what it was measured at, with its digest.

    Raises:
        WrongRequest: files that cannot be read, a key that is not known, or too few texts.
    """
    parameters = _parameters(ClassifierParameters(), overrides)
    sides = [_checked(patterns, text_field) for patterns in (positive, negative)]
    good, other = (_texts(files, text_field) for files in sides)
    classifier = train_classifier(good, other, parameters)
    digest = classifier_model.save(classifier, out)
    return {"digest": digest, **classifier.metrics}


def describe_classifier(metrics: Mapping[str, Any], out: Path) -> str:
    """What training came to, for people."""
    test = metrics["test"]
    left_out = {name: metrics[f"num_{name}"] for name in ("conflicting", "repeated", "without_words")}
    return "\n".join(
        [
            f"{metrics['num_positive']:,} positive and {metrics['num_negative']:,} negative texts; left out: "
            + ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in left_out.items()),
            f"trained on {metrics['num_training']:,}, calibrated on {metrics['num_calibration']:,}, "
            f"tested on {test['num_texts']:,}",
            f"area under the curve {test['auc']:.4f}, accuracy {test['accuracy']:.4f} "
            f"(of {test['base_rate']:.2f} positive), calibration error {test['calibration_error']:.4f}",
            f"{out}: classifier {metrics['digest'][:12]}",
            f"use it: --set filters.classifier.model={out}, and `classifier` among filters.rules",
        ]
    )


def make_perplexity(files: Sequence[str], out: Path, overrides: Sequence[str], text_field: str) -> dict[str, Any]:
    """Count n-grams and write the model to `out`; returns what it was measured at, with its digest.

    Raises:
        WrongRequest: files that cannot be read, a key that is not known, or no text.
    """
    parameters = _parameters(NgramParameters(), overrides)
    found = _checked(files, text_field)
    model = train_ngrams(_texts(found, text_field), parameters)
    digest = ngram_model.save(model, out)
    return {"digest": digest, **model.metrics}


def describe_perplexity(metrics: Mapping[str, Any], out: Path) -> str:
    """What counting came to, for people."""
    lines = [f"{name.removeprefix('num_').replace('_', ' '):<24} {_shown(value)}" for name, value in metrics.items()]
    return "\n".join([*lines, f"use it: --set filters.perplexity.model={out}, and `perplexity` among filters.rules"])


def _parameters(defaults: Parameters, overrides: Sequence[str]) -> Parameters:
    content = asdict(defaults)
    known = set(known_keys(type(defaults), ""))
    for override in overrides:
        apply_override(content, override, known)
    try:
        return TypeAdapter(type(defaults)).validate_python(content)
    except ValidationError as error:
        raise SettingsError(f"--set: {explain(error)}") from error


def _checked(patterns: Sequence[str], text_field: str) -> list[str]:
    files = find_files(patterns)
    for file in files:
        check_file(file, text_field=text_field)
    return files


def _texts(files: Sequence[str], text_field: str) -> Iterator[pa.ChunkedArray]:
    for file in files:
        for batch in read_batches(file, text_field=text_field, digest=""):
            yield batch.texts


def _shown(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:.4f}" if isinstance(value, float) else str(value)
