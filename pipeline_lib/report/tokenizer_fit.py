"""How well the tokenizer fits: bytes of text per token, and how many tokens the corpus became."""

from collections.abc import Mapping
from typing import Any

from pipeline_lib.report import charts
from pipeline_lib.report.blocks import Cell, Column, Figure, Figures, Row, Section, Table
from pipeline_lib.report.excerpts import one_line
from pipeline_lib.report.quantities import count, size, value
from pipeline_lib.report.readings import group, number
from storage.manifests import Manifest

_NAME_CHARS = 60
_SPLITS = ("validation", "train")  # what the tokenizer has not seen, where there is any


def count_tokens(encode: Manifest) -> dict[str, int]:
    """Tokens of the corpus by split; a split that no part counted is left out."""
    tokens: dict[str, int] = {}
    for part in encode.parts:
        for split in ("train", "validation"):
            counted = number(part.metrics, split, "tokens")
            if counted is not None:
                tokens[split] = tokens.get(split, 0) + round(counted)
    return tokens


def tokenizer_section(tokenizer: Manifest, encode: Manifest | None, *, top_hosts: int) -> Section:
    measured = group(tokenizer.metrics, "bytes_per_token")
    split = next((split for split in _SPLITS if number(measured, split, "tokens")), None)
    figures = []
    if split is not None:
        figures = [
            figure
            for figure in (
                _figure(group(measured, split, "languages"), top_hosts, name="language", title="by language"),
                _figure(group(measured, split, "hosts"), top_hosts, name="host", title="by host"),
            )
            if figure is not None
        ]
    vocabulary = number(tokenizer.metrics, "tokenizer", "vocab_size")
    sample_bytes = number(tokenizer.metrics, "sample_bytes")
    tokens = count_tokens(encode) if encode is not None else {}
    sentences = [
        f"A SentencePiece BPE vocabulary of {count(vocabulary)} pieces" if vocabulary else "A SentencePiece vocabulary",
        f", learned from {size(sample_bytes)} of training text" if sample_bytes else "",
        ". ",
        f"The corpus is {count(tokens.get('train'))} training tokens" if tokens else "",
        f" and {count(tokens['validation'])} held out." if tokens.get("validation") else "." if tokens else "",
    ]
    table = _overall_table(measured)
    return Section(
        name="tokenizer",
        title="Tokenizer",
        summary="".join(sentences),
        blocks=[*([Figures(figures=figures)] if figures else []), *([table] if table.rows else [])],
    )


def _overall_table(measured: Mapping[str, Any]) -> Table:
    rows = [
        Row(
            cells=[
                Cell(text=split),
                Cell(text=count(number(measured, split, "documents"))),
                Cell(text=size(number(measured, split, "bytes"))),
                Cell(text=count(number(measured, split, "tokens"))),
                Cell(text=value(number(measured, split, "bytes_per_token"))),
            ]
        )
        for split in reversed(_SPLITS)
        if number(measured, split, "tokens")
    ]
    return Table(
        title="Measured on samples",
        columns=[
            Column(title="Split"),
            *(Column(title=title, numeric=True) for title in ("Documents", "Text", "Tokens", "Bytes per token")),
        ],
        rows=rows,
        note="The tokenizer learned from the training sample, and has not seen the validation text.",
    )


def _figure(groups: Mapping[str, Any], limit: int, *, name: str, title: str) -> Figure | None:
    largest = sorted(groups, key=lambda key: (-(number(groups, key, "bytes") or 0), key))[:limit]
    rows: list[dict[str, Any]] = [
        {
            "name": one_line(key, _NAME_CHARS) or "unknown",
            "bytes_per_token": number(groups, key, "bytes_per_token"),
            "tokens": number(groups, key, "tokens"),
            "bytes": number(groups, key, "bytes"),
        }
        for key in largest
        if number(groups, key, "bytes_per_token") is not None
    ]
    if not rows:
        return None
    return Figure(
        name=f"bytes-per-token-{name}",
        title=f"Bytes per token {title}",
        specification=charts.bars(
            rows,
            x=("bytes_per_token", "UTF-8 bytes per token", ".2f"),
            y="name",
            hover=[("tokens", "Tokens", ",d"), ("bytes", "Text (bytes)", ",d")],
            tone="plain",
        ),
        note="Those with most text first.",
        table=Table(
            columns=[
                Column(title=name.capitalize()),
                *(Column(title=each, numeric=True) for each in ("Bytes per token", "Tokens", "Text")),
            ],
            rows=[
                Row(
                    cells=[
                        Cell(text=row["name"], crawled=True),
                        Cell(text=value(row["bytes_per_token"])),
                        Cell(text=count(row["tokens"])),
                        Cell(text=size(row["bytes"])),
                    ]
                )
                for row in rows
            ],
        ),
    )
