"""An n-gram model as a folder: `ngrams.json` and `model.safetensors`."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline_lib.classifier.model_folder import ModelKind, NoSuchModel, StoredModel, read_model, write_model
from pipeline_lib.perplexity.counting import MAX_ORDER
from pipeline_lib.perplexity.ngrams import BrokenNgrams, NgramModel, build_table

KIND = ModelKind(
    file="ngrams.json",
    format="gristmill.ngrams",
    version=1,
    made_by="train a perplexity model and name its folder",
    arrays={"keys": np.uint64, "counts": np.uint32},
)


def save(model: NgramModel, folder: Path) -> str:
    """Write the folder; equal models give equal bytes. Returns the digest."""
    arrays: dict[str, npt.NDArray[Any]] = {"keys": model.keys, "counts": model.counts}
    return write_model(
        StoredModel(description={"order": model.order}, metrics=model.metrics, arrays=arrays), folder, KIND
    )


def load(folder: Path) -> NgramModel:
    """Raises NoSuchModel: nothing there, or not a whole n-gram model of ours."""
    stored = read_model(folder, KIND)
    order = stored.description.get("order")
    if type(order) is not int or not 1 <= order <= MAX_ORDER:
        raise NoSuchModel(f"{folder / KIND.file}: order {order!r}, expected 1 to {MAX_ORDER}")
    keys, counts = stored.arrays["keys"], stored.arrays["counts"]
    try:
        table = build_table(keys, counts, order)
    except BrokenNgrams as error:
        raise NoSuchModel(f"{folder}: {error}; {KIND.made_by}") from error
    return NgramModel(order=order, keys=keys, counts=counts, table=table, metrics=stored.metrics)
