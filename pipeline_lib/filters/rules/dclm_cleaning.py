"""What DCLM-Baseline cleans out of pages before it judges them (`mlfoundations/dclm`, after RefinedWeb).

Web addresses with the whitespace before them, then IPv4 addresses, then newlines beyond two in a row: DCLM's
`url_removal_modifier` and `newline_removal_modifier`.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from pipeline_lib.filters.conditions import Condition, Signals, bounds, check_thresholds
from pipeline_lib.filters.edits import Edits
from pipeline_lib.filters.rules.dclm_domains import TOP_LEVEL_DOMAINS
from pipeline_lib.filters.texts import Texts
from pipeline_lib.kernels.dclm_cleaning import cleaning_spans

SIGNALS = ("dclm_cleaning_num_chars",)

_EDIT_RULES = ("dclm_cleaning.url", "dclm_cleaning.ip", "dclm_cleaning.newlines")


@dataclass(frozen=True, kw_only=True)
class DclmCleaningRules:
    """What to clean; defaults: DCLM's `dclm_baseline_refinedweb.yaml`. None, or false: no such step.

    DCLM looks for web addresses only in texts whose first letters spell a top-level domain, in either case, as those
    of "The" do (`.th`): an accident of its code, by which more than half of real pages keep theirs, and part of its
    results. `urls_only_where_domain_begins_text=False` cleans all pages.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}
    MEASURED: ClassVar[tuple[str, ...]] = (
        "remove_urls",
        "urls_only_where_domain_begins_text",
        "top_level_domains",
        "remove_ips",
        "max_newlines",
    )

    remove_urls: bool = True
    urls_only_where_domain_begins_text: bool = True
    top_level_domains: tuple[str, ...] = ()  # none: those of IANA; case as listed
    remove_ips: bool = True
    max_newlines: int | None = 2  # in a row

    def __post_init__(self) -> None:
        check_thresholds(self)

    def conditions(self) -> tuple[Condition, ...]:
        return bounds("dclm_cleaning", [("empty", "dclm_cleaning_num_chars", "<", 1)])


def edit(texts: Texts, rules: DclmCleaningRules) -> Edits:
    """The edits that the rules ask for."""
    spans = cleaning_spans(
        *texts.buffers,
        top_level_domains=rules.top_level_domains or TOP_LEVEL_DOMAINS,
        remove_urls=rules.remove_urls,
        only_where_domain_begins_text=rules.urls_only_where_domain_begins_text,
        remove_ips=rules.remove_ips,
        max_newlines=rules.max_newlines,
    )
    return Edits(
        text=spans[:, 0].copy(),
        start=spans[:, 1].copy(),
        end=spans[:, 2].copy(),
        rule=spans[:, 3].astype(np.int8),
        rules=_EDIT_RULES,
        replacement=np.zeros(len(spans), np.int8),
    )


def measure(before: Texts, after: Texts, edits: Edits, rules: DclmCleaningRules) -> Signals:
    """Signals of cleaned texts."""
    return {"dclm_cleaning_num_chars": after.num_chars.astype(np.float64)}
