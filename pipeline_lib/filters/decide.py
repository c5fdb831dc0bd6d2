"""Decisions: which rule a document breaks first, from stored signals alone."""

import polars as pl

from pipeline_lib.filters.parameters import FilterParameters

_BROKEN = "_broken"


def decide(signals: pl.DataFrame, parameters: FilterParameters) -> pl.DataFrame:
    """One row a dropped document, in the order of the documents: the columns of `DECISIONS`.

    Args:
        signals: `doc_id`, `language`, and the signals that the rules read, one row a document.

    Raises:
        polars.exceptions.ColumnNotFoundError: a rule reads a signal that is not there.
    """
    conditions = parameters.conditions()
    first_broken = pl.coalesce(
        pl.lit(None, pl.Int32),
        *(pl.when(condition.broken()).then(pl.lit(k, pl.Int32)) for k, condition in enumerate(conditions)),
    )
    dropped = signals.with_columns(first_broken.alias(_BROKEN)).filter(pl.col(_BROKEN).is_not_null())
    is_broken = [pl.when(pl.col(_BROKEN) == k) for k in range(len(conditions))]
    return dropped.select(
        pl.col("doc_id"),
        rule=pl.coalesce(
            pl.lit(None, pl.String),
            *(when.then(pl.lit(condition.rule)) for when, condition in zip(is_broken, conditions, strict=True)),
        ),
        value=pl.coalesce(
            pl.lit(None, pl.Float64),
            *(when.then(condition.value()) for when, condition in zip(is_broken, conditions, strict=True)),
        ),
        threshold=pl.coalesce(
            pl.lit(None, pl.Float64),
            *(
                when.then(pl.lit(condition.threshold, pl.Float64))
                for when, condition in zip(is_broken, conditions, strict=True)
            ),
        ),
        evidence=pl.coalesce(
            pl.lit(None, pl.String),
            *(when.then(condition.evidence()) for when, condition in zip(is_broken, conditions, strict=True)),
        ),
    )


def count_broken(signals: pl.DataFrame, parameters: FilterParameters) -> dict[str, int]:
    """By rule, how many documents break it, whether or not an earlier rule drops them already."""
    counts = signals.select(condition.broken().sum().alias(condition.rule) for condition in parameters.conditions())
    return {rule: int(counts[rule].item()) for rule in counts.columns} if counts.height else {}
