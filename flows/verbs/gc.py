"""The verb that removes what nothing in a store refers to any more: `gc`."""

import json

import click

from flows.clear_errors import clear_errors
from flows.end_signal import end_signal_as_ctrl_c
from flows.verbs.options import json_option, store_option
from storage.runs import find_run
from storage.store import Store


@click.command()
@click.option("--dry-run", is_flag=True, help="Only list what would go; so it is without --yes, too.")
@click.option("--yes", is_flag=True, help="Remove it.")
@click.option(
    "--keep-last",
    metavar="N",
    type=click.IntRange(min=1),
    help="Let runs go that are older than the last N completed ones of recipes of the same name.",
)
@click.option("--older-than", metavar="DAYS", type=click.FloatRange(min=0), help="Let runs go that began before that.")
@click.option("--remove-run", "removed", metavar="RUN", multiple=True, help="Let this run go; repeatable.")
@click.option(
    "--unfinished-older-than",
    "unfinished_days",
    metavar="DAYS",
    type=click.FloatRange(min=0),
    default=7.0,
    show_default=True,
    help="What interrupted runs left of stages they did not finish goes after so long.",
)
@store_option
@json_option
def gc(
    dry_run: bool,
    yes: bool,
    keep_last: int | None,
    older_than: float | None,
    removed: tuple[str, ...],
    unfinished_days: float,
    store_url: str,
    as_json: bool,
) -> None:
    """List the outputs of stages that no run and no index refers to, and what dead processes left; remove them with
    --yes.

    All runs stay, unless an option lets them go: their record, their report, and the outputs that no other run and no
    index needs. With both --keep-last and --older-than, a run goes that is beyond both. What a run that is going on
    may use is never touched, and runs that begin meanwhile wait.

    \b
    gristmill gc
    gristmill gc --yes
    gristmill gc --keep-last 4 --older-than 30 --yes
    """
    stopped = "what is removed is gone, the rest is whole; run it again to go on"
    with clear_errors(stopped), end_signal_as_ctrl_c():
        from flows.unreferenced import KeptRuns, describe_removal, find_unreferenced, remove_unreferenced
        from storage.removal_mark import removal_mark

        store = Store(store_url)
        kept = KeptRuns(last=keep_last, days=older_than, remove=tuple(find_run(store, name).run_id for name in removed))
        if dry_run or not yes:
            removal = find_unreferenced(store, kept, unfinished_days=unfinished_days)
        else:
            # the mark first, then a look at the runs there are: see `storage.removal_mark`
            with removal_mark(store) as mark:
                removal = find_unreferenced(store, kept, unfinished_days=unfinished_days)
                for gone in remove_unreferenced(store, removal, mark):
                    click.echo(f"removed {gone.path}", err=True)
                if not store.is_local and (num_uploads := store.remove_unfinished("stages")):
                    click.echo(f"aborted {num_uploads:,} uploads that were never finished", err=True)
        is_done = yes and not dry_run
        if as_json:
            click.echo(json.dumps({"removed": is_done, **removal.as_json()}))
        else:
            click.echo(describe_removal(removal, is_done=is_done))
