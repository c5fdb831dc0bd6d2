"""Decisions: which rule a document breaks first, from stored signals alone."""

from collections.abc import Sequence

import polars as pl

from pipeline_lib.filters.conditions import Condition

_BROKEN = "_broken"


def first_broken(conditions: Sequence[Condition]) -> pl.Expr:
    """The number of the first condition that a document breaks, Int32; null: none."""
    return pl.coalesce(
        pl.lit(None, pl.Int32),
        *(pl.when(condition.broken()).then(pl.lit(k, pl.Int32)) for k, condition in enumerate(conditions)),
    )


def rejected_by(conditions: Sequence[Condition]) -> pl.Expr:
    """The rule that a document breaks first, String; null: it is kept."""
    return pl.coalesce(
        pl.lit(None, pl.String),
        *(pl.when(condition.broken()).then(pl.lit(condition.rule)) for condition in conditions),
    )


def decide(signals: pl.DataFrame, conditions: Sequence[Condition]) -> pl.DataFrame:
    """One row a dropped document, in the order of the documents: the columns of `DECISIONS`.

    Args:
        signals: `doc_id`, `language`, and the signals that the rules read, one row a document.

    Raises:
        polars.exceptions.ColumnNotFoundError: a rule reads a signal that is not there.
    """
    dropped = signals.with_columns(first_broken(conditions).alias(_BROKEN)).filter(pl.col(_BROKEN).is_not_null())
    rules = pl.Series([condition.rule for condition in conditions], dtype=pl.String)
    thresholds = pl.Series([condition.threshold for condition in conditions], dtype=pl.Float64)
    broken = pl.col(_BROKEN)
    return dropped.select(
        pl.col("doc_id"),
        rule=rules.gather(dropped[_BROKEN]),
        value=pl.coalesce(
            pl.lit(None, pl.Float64),
            *(pl.when(broken == k).then(condition.value()) for k, condition in enumerate(conditions)),
        ),
        threshold=thresholds.gather(dropped[_BROKEN]),
        evidence=pl.coalesce(
            pl.lit(None, pl.String),
            *(pl.when(broken == k).then(condition.evidence()) for k, condition in enumerate(conditions)),
        ),
    )


def count_broken(signals: pl.DataFrame, conditions: Sequence[Condition]) -> dict[str, int]:
    """By rule, how many documents break it, whether or not an earlier rule drops them already."""
    counts = signals.select(condition.broken().sum().alias(condition.rule) for condition in conditions)
    return {rule: int(counts[rule].item()) for rule in counts.columns} if counts.height else {}
