"""Perplexity as a rule: what a text costs, in bits per byte, under a model of what good text looks like.

Bits per byte are the logarithm of perplexity, per byte and so the same measure whatever the tokenizer. CCNet (Wenzek
et al. 2020, arXiv:1911.00359) scores pages with an n-gram model of Wikipedia and takes, in each language, the 30 % with
the lowest perplexity for its head and those up to 60 % for its middle: `quantile_threshold(scores, 0.3, "lowest")` of
`pipeline_lib.classifier.calibration` is `max_bits_per_byte` for the head. Very low values mark text that repeats
itself.
"""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import numpy.typing as npt

from pipeline_lib.classifier.model_folder import NoSuchModel, is_model, stated_digest
from pipeline_lib.filters.conditions import Condition, Signals, bounds, check_thresholds
from pipeline_lib.filters.texts import Texts
from pipeline_lib.perplexity.model import KIND, load
from pipeline_lib.perplexity.ngrams import BITS_OF_NOTHING, NgramModel, bits_per_byte
from storage.digests import file_digest, joined_digest

SIGNALS = ("perplexity_bits_per_byte",)

_EXPORT_FILES = ("config.json", "model.safetensors", "tokenizer.json")  # of these, a score is made


@dataclass(frozen=True, kw_only=True)
class PerplexityRules:
    """Bounds on what a text costs under the model of folder `model`, both allowed; without a model there are none.

    `model` is an n-gram model of ours or the folder of an exported decoder. Default: no bound, since what is much
    depends on the model: `ngrams.json` holds the percentiles of the texts that it was tested on.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}
    MEASURED: ClassVar[tuple[str, ...]] = ("model",)

    model: str | None = None
    min_bits_per_byte: float | None = None
    max_bits_per_byte: float | None = None

    def __post_init__(self) -> None:
        check_thresholds(self)

    def conditions(self) -> tuple[Condition, ...]:
        if self.model is None:
            return ()
        return bounds(
            "perplexity",
            [
                ("too_predictable", "perplexity_bits_per_byte", "<", self.min_bits_per_byte),
                ("too_surprising", "perplexity_bits_per_byte", ">", self.max_bits_per_byte),
            ],
        )


def kind_of(folder: str) -> Literal["ngram", "export"]:
    """Which of the two kinds of model a folder holds.

    Raises:
        NoSuchModel: neither.
    """
    place = Path(folder)
    if is_model(place, KIND):
        return "ngram"
    if all((place / name).is_file() for name in _EXPORT_FILES):
        return "export"
    what = "no such folder" if not place.is_dir() else f"neither {KIND.file} nor {', '.join(_EXPORT_FILES)} in it"
    raise NoSuchModel(f"{folder}: {what}; {KIND.made_by}, or the folder of an exported model")


def model_digest(rules: PerplexityRules) -> str | None:
    """What identifies the model beyond its folder's name; None without a model.

    Raises:
        NoSuchModel: the folder is not there, or holds no model.
    """
    if rules.model is None:
        return None
    folder = Path(rules.model)
    if kind_of(rules.model) == "ngram":
        return stated_digest(folder, KIND)
    return joined_digest(file_digest(folder / name) for name in _EXPORT_FILES)


def measure(texts: Texts, rules: PerplexityRules) -> Signals:
    """What each text costs under an n-gram model; no signals without a model.

    Raises:
        NoSuchModel: the folder holds no n-gram model; what an exported model says comes by `signals_from`.
    """
    if rules.model is None:
        return {}
    model = _loaded(rules.model, stated_digest(Path(rules.model), KIND))
    return signals_from(bits_per_byte(*texts.buffers, model.table, model.order))


def signals_from(bits: npt.NDArray[np.float64]) -> Signals:
    """The signals from bits per byte, float64 (N,), where NaN is a text without a byte: it counts as one of which
    nothing can be predicted."""
    return {"perplexity_bits_per_byte": np.where(np.isnan(bits), BITS_OF_NOTHING, bits)}


@lru_cache(maxsize=2)
def _loaded(folder: str, digest: str) -> NgramModel:
    """Once a process and model: `digest` tells a folder's models apart."""
    return load(Path(folder))
