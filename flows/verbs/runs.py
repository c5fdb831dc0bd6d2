"""The verbs that tell of the runs of a store."""

import json
import shutil
import sys
import tempfile
import webbrowser
from pathlib import Path
from typing import Any

import click

from flows.clear_errors import WORK_FAILED, clear_errors
from flows.verbs.options import (
    json_option,
    run_argument,
    store_option,
)
from flows.withdrawn_since import WithdrawnSince, withdrawn_since
from storage.runs import Run, UnknownRun, find_run, list_runs, unreadable_runs
from storage.store import Store


@click.command()
@store_option
@json_option
def runs(store_url: str, as_json: bool) -> None:
    """List the runs of a store, oldest first."""
    with clear_errors():
        store = Store(store_url)
        found = list_runs(store)
        for problem in unreadable_runs(store).values():
            click.echo(f"warning: {problem}; what it made is found again when its recipe is run", err=True)
        marks = withdrawn_since(store, found)
        if as_json:
            rows = [
                {
                    "run_id": each.run_id,
                    "recipe": each.recipe_name,
                    "recipe_digest": each.recipe_digest,
                    "status": each.status,
                    "created_at": each.created_at,
                    "corpus_digest": each.corpus_digest,
                    "val_bits_per_byte": each.metrics.get("val_bits_per_byte"),
                    "withdrawn_since": _mark_json(marks.get(each.run_id)),
                }
                for each in found
            ]
            click.echo(json.dumps({"runs": rows}))
            return
        if not found:
            click.echo(f"no runs in {store_url} yet; `gristmill run demo` makes one")
        for each in found:
            score = each.metrics.get("val_bits_per_byte")
            click.echo(
                f"{each.run_id:<36} {each.status:<12} {each.created_at}  corpus {(each.corpus_digest or '-')[:12]:<12}"
                f"{'' if score is None else f'  {score:.3f} bits/byte'}"
            )
            mark = marks.get(each.run_id)
            if mark is not None:
                click.echo(f"{'':<4}withdrawn since: {mark.describe()}")


@click.command()
@run_argument
@store_option
@json_option
def show(run: str, store_url: str, as_json: bool) -> None:
    """Show a run: its stages with what went in, came out and was dropped, its scores, where its results are."""
    with clear_errors():
        store = Store(store_url)
        found = find_run(store, run)
        if as_json:
            click.echo(json.dumps(run_json(store, found)))
        else:
            _print_run(store, found, withdrawn_since(store, [found]).get(found.run_id))


@click.command()
@click.argument("url")
@click.option("--run", "run_name", metavar="RUN", default="latest", show_default=True, help="The run to ask.")
@store_option
@json_option
def why(url: str, run_name: str, store_url: str, as_json: bool) -> None:
    """Tell the fate of the page URL in a run: where it was found, what it was measured at, kept or dropped and why."""
    with clear_errors():
        from flows.why import Fates
        from flows.why_told import describe_absence, describe_fate

        store = Store(store_url)
        found = find_run(store, run_name)
        fates = Fates(store, found)
        captures = fates.of_url(url)
        absence = None if captures else fates.absence(url)
        if as_json:
            answer = {"url": url, "run_id": found.run_id, "captures": captures}
            click.echo(json.dumps(answer if absence is None else {**answer, "absence": absence}))
        elif absence is None:
            click.echo(describe_fate(url, found, captures))
        else:
            click.echo(describe_absence(url, found, absence))
        if not captures:
            sys.exit(WORK_FAILED)


@click.command("what-if")
@run_argument
@click.option(
    "--set",
    "overrides",
    metavar="KEY=VALUE",
    multiple=True,
    help="Another value for a key of filters, or filters.preset; repeatable.",
)
@click.option("--rule", metavar="RULE", help="Show documents on both sides of this rule's line.")
@click.option("--samples", metavar="N", type=click.IntRange(min=0), default=3, show_default=True)
@store_option
@json_option
def what_if(
    run: str, overrides: tuple[str, ...], rule: str | None, samples: int, store_url: str, as_json: bool
) -> None:
    """Tell what RUN would keep under other thresholds, from its stored signals: nothing is measured or written.

    \b
    gristmill what-if latest --set filters.gopher_quality.min_words=80
    gristmill what-if latest --set 'filters.custom=[{name: mine, drop_where: num_chars < 300}]'
    gristmill what-if latest --rule gopher_quality.too_few_words
    """
    with clear_errors():
        from flows.compiled import keep_compiled_kernels

        keep_compiled_kernels()
        from flows.filter_settings import change_filters
        from flows.what_if import describe_what_if, judged_filters, what_if

        store = Store(store_url)
        found = find_run(store, run)
        changed = change_filters(judged_filters(store, found), overrides) if overrides else None
        answer = what_if(store, found, changed, samples=samples, rule=rule)
        click.echo(json.dumps(answer.as_json()) if as_json else describe_what_if(answer))


@click.command()
@click.argument("run")
@click.argument("prompt")
@store_option
@click.option("--greedy", is_flag=True, help="Always the likeliest token.")
@click.option("--temperature", type=click.FloatRange(min=0.0, min_open=True), default=0.8, show_default=True)
@click.option("--top-p", type=click.FloatRange(0.0, 1.0, min_open=True), default=0.95, show_default=True)
@click.option("--max-tokens", type=click.IntRange(min=1), default=120, show_default=True)
@click.option("--seed", type=int, default=0, show_default=True)
@json_option
def generate(
    run: str,
    prompt: str,
    store_url: str,
    greedy: bool,
    temperature: float,
    top_p: float,
    max_tokens: int,
    seed: int,
    as_json: bool,
) -> None:
    """Continue PROMPT with the model of RUN."""
    with clear_errors():
        from flows.generation import generate_text
        from model.parameters import SamplingParameters

        store = Store(store_url)
        found = find_run(store, run)
        sampling = SamplingParameters(
            max_new_tokens=max_tokens, temperature=0.0 if greedy else temperature, top_p=top_p, seed=seed
        )
        text = generate_text(store, found, prompt, sampling)
        if as_json:
            click.echo(json.dumps({"run_id": found.run_id, "prompt": prompt, "continuation": text}))
        else:
            click.echo(prompt + text)


@click.command()
@run_argument
@store_option
@click.option("--open", "open_it", is_flag=True, help="Open it in a browser.")
def report(run: str, store_url: str, open_it: bool) -> None:
    """Print where the report page of a run is; of a store elsewhere, --open opens a copy."""
    with clear_errors():
        store = Store(store_url)
        found = find_run(store, run)
        path = found.paths.get("report")
        if path is None:
            raise UnknownRun(f"run {found.run_id} has no report: it is {found.status}; {found.error or ''}".strip())
        full = store.full_path(path)
        click.echo(full)
        for mark in withdrawn_since(store, [found]).values():
            click.echo(f"withdrawn since: {mark.describe()}", err=True)
        if open_it:
            webbrowser.open(_page_here(store, path).as_uri())


def _page_here(store: Store, path: str) -> Path:
    """The report page as a file of this machine: a browser cannot read a bucket, and has no keys to one."""
    if store.is_local:
        return Path(store.full_path(path))
    folder = Path(tempfile.mkdtemp(prefix="gristmill-report-"))  # stays: the browser reads it after this process ends
    with store.local_copy(path) as copy:
        return Path(shutil.copy(copy, folder))


def _mark_json(mark: WithdrawnSince | None) -> dict[str, Any] | None:
    return None if mark is None else mark.as_json()


def run_json(store: Store, run: Run) -> dict[str, Any]:
    """What other programs may rely on of a run."""
    mark = withdrawn_since(store, [run]).get(run.run_id)
    return {
        "run_id": run.run_id,
        "recipe": run.recipe_name,
        "recipe_digest": run.recipe_digest,
        "corpus_digest": run.corpus_digest,
        "git_commit": run.environment.get("git_commit"),
        "status": run.status,
        "error": run.error,
        "created_at": run.created_at,
        "finished_at": run.finished_at,
        "stages": [
            {name: value for name, value in stage.as_json().items() if name != "metrics"} for stage in run.stages
        ],
        "earlier": [{"entry": each.entry, "run_id": each.run_id} for each in run.earlier],
        "exclusions": run.exclusions,
        "withdrawn_since": _mark_json(mark),
        "metrics": run.metrics,
        "paths": {name: store.full_path(path) for name, path in run.paths.items()},
    }


def _print_run(store: Store, run: Run, mark: WithdrawnSince | None) -> None:
    click.echo(f"{run.run_id}  {run.status}{'' if run.error is None else f': {run.error}'}")
    click.echo(f"recipe {run.recipe_name} {run.recipe_digest[:12]}   corpus {(run.corpus_digest or '-')[:12]}")
    click.echo(f"begun {run.created_at}, ended {run.finished_at or '-'}")
    for each in run.earlier:
        click.echo(f"deduplicated against run {each.run_id} ({each.entry})")
    if mark is not None:
        click.echo(f"withdrawn since: {mark.describe()}{'' if mark.problem else '; run the recipe again without them'}")
    click.echo()
    for stage in run.stages:
        account = stage.account
        how = "cached" if stage.reused else f"{stage.seconds:.1f} s"
        click.echo(
            f"{stage.name:<11}{how:>9}  {account.documents_in:>12,} {account.unit_in:<9} -> "
            f"{account.documents_out:>12,} {account.unit_out}"
        )
        for reason, count in sorted(account.dropped.items(), key=lambda item: (-item[1], item[0])):
            click.echo(f"{'':<22}{-count:>12,} {reason}")
    if run.metrics:
        click.echo()
    for name, value in sorted(run.metrics.items()):
        if isinstance(value, int | float):
            click.echo(f"{name:<28} {value:,.4f}" if isinstance(value, float) else f"{name:<28} {value:,}")
    if run.paths:
        click.echo()
    for name, path in sorted(run.paths.items()):
        click.echo(f"{name:<11} {store.full_path(path)}")
