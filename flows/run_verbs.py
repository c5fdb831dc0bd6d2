"""The verbs that tell of the runs of a store: `runs` and `show`."""

import json
from typing import Any

import click

from flows.clear_errors import clear_errors
from flows.verb_options import json_option, open_store, run_argument, store_option
from flows.withdrawn_since import WithdrawnSince, withdrawn_since
from storage.runs import Run, find_run, list_runs, unreadable_runs
from storage.store import Store


@click.command()
@store_option
@json_option
def runs(store_url: str, as_json: bool) -> None:
    """List the runs of a store, oldest first."""
    with clear_errors():
        store = open_store(store_url)
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
        store = open_store(store_url)
        found = find_run(store, run)
        if as_json:
            click.echo(json.dumps(run_json(store, found)))
        else:
            _print_run(store, found, withdrawn_since(store, [found]).get(found.run_id))


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
