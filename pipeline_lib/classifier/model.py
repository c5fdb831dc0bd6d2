"""A trained classifier as a folder: `classifier.json` and `model.safetensors`."""

import math
from dataclasses import asdict
from pathlib import Path

import numpy as np
from pydantic import TypeAdapter, ValidationError

from pipeline_lib.classifier.calibration import Calibration
from pipeline_lib.classifier.model_folder import ModelKind, NoSuchModel, StoredModel, read_model, write_model
from pipeline_lib.classifier.training import ClassifierParameters, TrainedClassifier

KIND = ModelKind(
    file="classifier.json",
    format="gristmill.classifier",
    version=1,
    made_by="train a classifier and name its folder",
    arrays={"weights": np.float32},
)


def save(classifier: TrainedClassifier, folder: Path) -> str:
    """Write the folder; equal classifiers give equal bytes. Returns the digest."""
    description = {
        "parameters": asdict(classifier.parameters),
        "calibration": asdict(classifier.calibration),
    }
    stored = StoredModel(
        description=description, metrics=classifier.metrics, arrays={"weights": classifier.weights}
    )  # fmt: skip
    return write_model(stored, folder, KIND)


def load(folder: Path) -> TrainedClassifier:
    """Raises NoSuchModel: nothing there, or not a whole classifier of ours."""
    stored = read_model(folder, KIND)
    weights = stored.arrays["weights"]
    try:
        parameters = TypeAdapter(ClassifierParameters).validate_python(stored.description.get("parameters"))
        calibration = TypeAdapter(Calibration).validate_python(stored.description.get("calibration"))
    except ValidationError as error:
        raise NoSuchModel(f"{folder / KIND.file}: {error}") from error
    finite = np.isfinite(weights).all() and math.isfinite(calibration.slope) and math.isfinite(calibration.intercept)
    if len(weights) != (1 << parameters.bucket_bits) + 1 or not finite:
        raise NoSuchModel(
            f"{folder}: expected {(1 << parameters.bucket_bits) + 1} finite weights, found {len(weights)}"
            f"{'' if finite else ', not all finite'}; {KIND.made_by}"
        )
    return TrainedClassifier(
        parameters=parameters, weights=weights, calibration=calibration, metrics=stored.metrics
    )  # fmt: skip
