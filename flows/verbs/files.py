"""The verbs that work on anyone's files, without a store: `judge`, `train-classifier`, `train-perplexity`."""

import json
from pathlib import Path
from typing import Any

import click

from flows.clear_errors import clear_errors
from flows.verbs.options import id_field_option, json_option, out_option, set_option, text_field_option, workers_option

_NOTHING_WRITTEN = "nothing was written"


@click.command()
@click.argument("files", metavar="FILES...", nargs=-1, required=True)
@click.option(
    "--rules",
    metavar="PRESET|FILE",
    default="fineweb",
    show_default=True,
    help="A preset, several with commas, or a YAML file with keys of `filters`.",
)
@click.option(
    "--words", type=click.Choice(["whitespace", "punct"]), help="What a word is.  [default: as the rules say]"
)
@out_option
@set_option("the rules")
@text_field_option
@id_field_option
@click.option("--with-text", is_flag=True, help="Write the texts, too, as the rules edited them.")
@workers_option("Threads")
@json_option
def judge(
    files: tuple[str, ...],
    rules: str,
    words: Any,
    out: Path,
    overrides: tuple[str, ...],
    text_field: str,
    id_field: str | None,
    with_text: bool,
    workers: int | None,
    as_json: bool,
) -> None:
    """Judge the texts in FILES by rules: JSON Lines (plain, .gz, .zst) or Parquet; paths, globs, folders, URLs.

    Writes for each file a Parquet with `id`, one column a signal and `rejected_by` (null: kept), and `summary.json`;
    all of it, or nothing.

    \b
    gristmill judge docs/*.jsonl.zst --rules fineweb --out judged/
    gristmill judge docs.parquet --rules gopher-quality --set gopher_quality.min_words=80 --words punct --out judged/
    gristmill judge docs.parquet --rules mine.yaml --out judged/

    Presets: c4, c4-fineweb, c4-tfds, curator-english, dclm, dolma, fineweb, fineweb-quality, gopher-quality,
    gopher-repetition, none, refinedweb.
    """
    with clear_errors(_NOTHING_WRITTEN):
        from flows.compiled import keep_compiled_kernels

        keep_compiled_kernels()
        from flows import judge as judging
        from flows.filter_settings import load_filters
        from flows.runners import default_workers

        filters = load_filters(rules, overrides, words)
        with judging.shown_progress() as progress:
            summary = judging.judge(
                files,
                filters,
                out,
                workers=workers or default_workers(),
                progress=progress,
                text_field=text_field,
                id_field=id_field,
                with_text=with_text,
            )
        if as_json:
            click.echo(json.dumps(summary.as_json()))
            return
        account = summary.account
        kept = account.documents_out / account.documents_in if account.documents_in else 0.0
        click.echo(f"{account.documents_in:,} documents, {account.documents_out:,} kept ({kept:.1%})")
        for reason, count in sorted(account.dropped.items(), key=lambda item: (-item[1], item[0])):
            click.echo(f"{count:>12,}  {reason}")
        click.echo(f"{out}: {len(summary.files)} tables and summary.json")


@click.command("train-classifier")
@click.option("--positive", metavar="FILES", multiple=True, required=True, help="Texts to find more of; repeatable.")
@click.option("--negative", metavar="FILES", multiple=True, required=True, help="Texts of any other kind; repeatable.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder for the classifier.")
@set_option("training")
@text_field_option
@json_option
def train_classifier(
    positive: tuple[str, ...],
    negative: tuple[str, ...],
    out: Path,
    overrides: tuple[str, ...],
    text_field: str,
    as_json: bool,
) -> None:
    """Train a quality classifier in the manner of fastText: which texts are like --positive, not like --negative?

    Its score, a probability, is a signal: `--set filters.classifier.model=OUT --set filters.classifier.min_score=0.5`,
    and `classifier` among the rules. FineWeb-Edu's way is to have some pages graded and take the good ones as
    positive; DCLM's to take instructions and answers as positive, random pages as negative, and to keep the best tenth.

    \b
    gristmill train-classifier --positive good/*.jsonl --negative crawl/*.parquet --out quality/
    gristmill judge crawl/*.parquet --rules classifier.yaml --out judged/
    """
    with clear_errors(_NOTHING_WRITTEN):
        from flows.compiled import keep_compiled_kernels

        keep_compiled_kernels()
        from flows.text_models import describe_classifier, make_classifier

        metrics = make_classifier(positive, negative, out, overrides, text_field)
        click.echo(json.dumps({"out": str(out), **metrics}) if as_json else describe_classifier(metrics, out))


@click.command("train-perplexity")
@click.argument("files", metavar="FILES...", nargs=-1, required=True)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder for the model.")
@set_option("training")
@text_field_option
@json_option
def train_perplexity(
    files: tuple[str, ...], out: Path, overrides: tuple[str, ...], text_field: str, as_json: bool
) -> None:
    """Count the n-grams of FILES: a small model of what good text looks like.

    What a text costs under it, in bits per byte, is a signal: `--set filters.perplexity.model=OUT` with
    `filters.perplexity.max_bits_per_byte`, and `perplexity` among the rules. The folder of a model that Gristmill
    exported does as well.

    \b
    gristmill train-perplexity wikipedia/*.parquet --out plain-english/
    """
    with clear_errors(_NOTHING_WRITTEN):
        from flows.compiled import keep_compiled_kernels

        keep_compiled_kernels()
        from flows.text_models import describe_perplexity, make_perplexity

        metrics = make_perplexity(files, out, overrides, text_field)
        click.echo(json.dumps({"out": str(out), **metrics}) if as_json else describe_perplexity(metrics, out))
