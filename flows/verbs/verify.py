"""The verb that makes a run's output again and compares: `verify`."""

import json
import sys
from pathlib import Path
from typing import Any

import click

from flows.clear_errors import WORK_FAILED, clear_errors
from flows.end_signal import end_signal_as_ctrl_c
from flows.verbs.options import json_option, run_argument, store_option, workers_option
from storage.runs import find_run
from storage.store import Store


@click.command()
@run_argument
@click.option(
    "--sample", metavar="N", type=click.IntRange(min=0), help="Make only N parts of each stage again.  [default: all]"
)
@click.option("--seed", type=int, default=0, show_default=True, help="Which N parts.")
@click.option("--stage", "stages", metavar="NAME", multiple=True, help="Look only at this stage; repeatable.")
@click.option(
    "--scratch",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder for what is made again; it is left as it was.  [default: in the store, if it is local]",
)
@store_option
@workers_option("Parts made again at once")
@click.option("--runner", type=click.Choice(["processes", "threads"]), default="processes", show_default=True)
@json_option
def verify(
    run: str,
    sample: int | None,
    seed: int,
    stages: tuple[str, ...],
    scratch: Path | None,
    store_url: str,
    workers: int | None,
    runner: Any,
    as_json: bool,
) -> None:
    """Make the parts of RUN again, in a scratch folder, and compare them with what it published.

    The bytes of everything it published are compared with their recorded digests; --sample limits only what is made
    again. What differs is named down to the row and column, beside what is not as it was recorded: code, library
    versions, machine. Nothing that is published is changed. Exit code 0: all equal; 1: something differs, or cannot be
    made again.

    \b
    gristmill verify latest
    gristmill verify latest --sample 2 --seed 7
    gristmill verify latest --stage judge --stage dedup
    """
    with clear_errors(stopped="nothing was changed"), end_signal_as_ctrl_c():
        from flows.compiled import keep_compiled_kernels

        keep_compiled_kernels()
        from flows.runners import default_workers
        from flows.verify import describe_verification
        from flows.verify import verify as verify_run

        store = Store(store_url)
        verification = verify_run(
            store,
            find_run(store, run),
            sample=sample,
            seed=seed,
            stages=stages,
            runner=runner,
            workers=workers or default_workers(),
            scratch=scratch,
        )
        click.echo(json.dumps(verification.as_json()) if as_json else describe_verification(verification))
        if not verification.is_equal:
            sys.exit(WORK_FAILED)
