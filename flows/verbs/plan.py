"""The verb that tells what a recipe will take: `plan`."""

import json
from collections.abc import Mapping
from typing import Any

import click

from flows.clear_errors import clear_errors
from flows.end_signal import end_signal_as_ctrl_c
from flows.verbs.options import json_option, runner_option, set_option, store_option
from storage.plans import Plan
from storage.wrong_request import WrongRequest


@click.command()
@click.argument("recipe", default="demo")
@click.option(
    "--sample-files",
    metavar="N",
    type=click.IntRange(min=1),
    default=4,
    show_default=True,
    help="How many of its files to run, where no earlier run has as many.",
)
@click.option("--workers", "workers", metavar="N,...", default="1,2,4,8,16,64", show_default=True, help="To plan for.")
@runner_option
@set_option("the recipe")
@store_option
@json_option
def plan(
    recipe: str,
    sample_files: int,
    workers: str,
    runner: str,
    overrides: tuple[str, ...],
    store_url: str,
    as_json: bool,
) -> None:
    """Tell what RECIPE will take: documents, CPU hours, disk, requests, and the time on so many workers.

    Measured on an earlier run of it, or else on a sample that is run now, in the same store. The plan is stored; when a
    run of the recipe has completed, the next plan shows how good the earlier ones were.

    \b
    gristmill plan commoncrawl --set source.crawl=CC-MAIN-2026-43
    gristmill plan mine.yaml --sample-files 8 --workers 16,64,256
    """
    with clear_errors(), end_signal_as_ctrl_c():
        numbers = _numbers(workers)
        from flows.process_settings import prepare_process

        prepare_process()
        from flows.plan import compare
        from flows.plan import plan as make_plan
        from flows.recipe import Recipe, load_recipe
        from flows.runners import default_workers
        from flows.running import check_request, run_recipe
        from flows.session import RunSettings
        from flows.source_checks import check_source
        from storage.runs import Run
        from storage.store import Store

        loaded = load_recipe(recipe, overrides)
        store = Store(store_url)
        check_request(loaded, store)
        resolved = check_source(loaded)
        settings = RunSettings(
            store_url=store.url,
            runner=runner,  # type: ignore[arg-type]  # one of them: click has looked
            workers=default_workers(),
            begun_by="plan",
        )

        def run_sample(sample: Recipe) -> Run:
            return run_recipe(sample, settings).run

        earlier = compare(store, resolved)
        made = make_plan(
            resolved,
            store,
            sample_files=sample_files,
            workers=numbers,
            run_sample=run_sample,
            say=lambda text: click.echo(text, err=True),
        )
        click.echo(
            json.dumps({**made.as_json(), "earlier": earlier}) if as_json else "\n".join(_described(made, earlier))
        )


def _numbers(text: str) -> list[int]:
    try:
        numbers = [int(each) for each in text.split(",")]
    except ValueError:
        numbers = []
    if not numbers or min(numbers) < 1:
        raise WrongRequest(f"--workers {text!r}: expected numbers of workers, such as 1,8,64")
    return numbers


def _described(plan: Plan, earlier: list[dict[str, Any]]) -> list[str]:
    basis, expected = plan.basis, plan.expected
    lines = [
        f"plan {plan.plan_id}",
        f"measured on {basis['kind']}, run {basis['run_id']}: {basis['measured']:,} of {basis['of']:,} {basis['unit']}",
        "",
        f"{'stage':<18}{'parts':>8}{'gives':>16} {'':<10}{'CPU time':>12}{'disk':>12}",
    ]
    lines += [
        f"{stage['name']:<18}{'at once' if stage['one_process'] else format(stage['parts'], ','):>8}"
        f"{stage['documents_out']:>16,} {stage['unit_out']:<10}{_time(stage['cpu_seconds']['expected']):>12}"
        f"{_size(stage['bytes']['expected']):>12}"
        for stage in plan.stages
    ]
    memory = expected["memory"]
    lines += [
        "",
        f"{'documents kept':<18}{_between(expected['documents'], _count)}",
        f"{'CPU time':<18}{_between(expected['cpu_seconds'], _time)}",
        f"{'disk':<18}{_between(expected['bytes'], _size)}; {_size(expected['peak_bytes']['expected'])} at the most",
        f"{'network':<18}{_size(expected['fetched']['expected'])}, {expected['requests']['expected']:,.0f} requests: "
        f"{_time(expected['request_seconds']['expected'])} at the rate allowed",
    ]
    if memory["worker_bytes"] is not None:
        lines.append(
            f"{'memory':<18}{_size(memory['worker_bytes'])} a worker: {memory['workers_that_fit']:,} fit in this "
            f"machine's {_size(memory['machine_bytes'])}, which has {memory['cores']} cores; "
            f"{_size(memory['dedup_bytes'])} for dedup"
        )
    lines.append("")
    lines += [
        f"{f'on {number} worker' + 's' * (number != '1'):<18}{_between(wall, _time)}"
        for number, wall in expected["wall_seconds"].items()
    ]
    lines += ["", *plan.notes] if plan.notes else []
    for each in earlier:
        lines += ["", f"plan {each['plan_id']} beside run {each['run_id']}:"]
        lines += [
            f"  {name:<16}expected {found['expected']:>18,.1f}   actual {found['actual']:>18,.1f}   "
            f"{'' if found['ratio'] is None else format(found['ratio'], '.2f') + ' of it'}"
            for name, found in each["quantities"].items()
        ]
    return lines


def _between(found: Mapping[str, float | None], spelled: Any) -> str:
    expected = spelled(found["expected"])
    if found["low"] is None or found["low"] == found["high"]:
        return str(expected)
    return f"{expected}  ({spelled(found['low'])} to {spelled(found['high'])} in nine of ten cases)"


def _count(number: float) -> str:
    return f"{number:,.0f}"


def _time(seconds: float) -> str:
    for unit, name in ((86400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= 2 * unit:
            return f"{seconds / unit:,.1f} {name}"
    return f"{seconds:,.1f} s"


def _size(num_bytes: float) -> str:
    for unit, name in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB")):
        if num_bytes >= unit:
            return f"{num_bytes / unit:,.1f} {name}"
    return f"{num_bytes / 1e3:,.1f} kB"
