"""Length: how many characters a document has."""

from dataclasses import dataclass
from typing import ClassVar

from pipeline_lib.filters.conditions import Condition, Signals, bounds, check_thresholds
from pipeline_lib.filters.texts import Texts

SIGNALS = ("length_num_chars",)


@dataclass(frozen=True, kw_only=True)
class LengthRules:
    """Bounds on the characters of a text, both allowed.

    Defaults: at least 150 characters as in allenai's all-dressed mix (datamap-rs), no upper bound. C4's own code
    (TFDS) allows 190,000.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}
    MEASURED: ClassVar[tuple[str, ...]] = ()

    min_chars: int | None = 150
    max_chars: int | None = None

    def __post_init__(self) -> None:
        check_thresholds(self)

    def conditions(self) -> tuple[Condition, ...]:
        return bounds(
            "length",
            [
                ("too_short", "length_num_chars", "<", self.min_chars),
                ("too_long", "length_num_chars", ">", self.max_chars),
            ],
        )


def measure(texts: Texts, rules: LengthRules) -> Signals:
    return {"length_num_chars": texts.num_chars.astype("float64")}
