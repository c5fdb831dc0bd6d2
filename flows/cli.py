"""The `gristmill` command: its verbs, in the order in which a newcomer needs them.

Heavy modules are imported by the verbs that need them, so that `--help` answers at once, and Prefect only after the
server's address stands in the environment.
"""

import click

from flows.backfill_verb import backfill
from flows.browse_verb import browse
from flows.crawl_verbs import crawls
from flows.decontaminate_verb import decontaminate
from flows.dedup_verb import dedup
from flows.deploy_verb import deploy
from flows.diff_verb import diff
from flows.extract_verb import extract
from flows.file_verbs import judge, train_classifier, train_perplexity
from flows.forget_verb import forget
from flows.gc_verb import gc
from flows.index_verb import indexes
from flows.plan_verb import plan
from flows.run_verb import recipe, run
from flows.run_verbs import generate, report, runs, show, what_if, why
from flows.schedule_verb import schedule
from flows.trace_verb import trace
from flows.ui_verb import ui
from flows.verify_verb import verify

_SECTIONS: dict[str, tuple[click.Command, ...]] = {
    "Make": (run, recipe, plan, schedule, backfill, deploy),
    "Look": (runs, show, report, ui, browse, why, trace, what_if, generate),
    "Compare and verify": (diff, verify),
    "Keep in order": (forget, indexes, gc),
    "Without a run": (crawls, extract, judge, dedup, decontaminate, train_classifier, train_perplexity),
}


class _Verbs(click.Group):
    """Lists verbs by what they are for."""

    def list_commands(self, context: click.Context) -> list[str]:
        return list(self.commands)

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        for title, verbs in _SECTIONS.items():
            with formatter.section(title):
                limit = formatter.width - 24
                formatter.write_dl([(str(verb.name), verb.get_short_help_str(limit)) for verb in verbs])


@click.group(cls=_Verbs, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="gristmill")
def main() -> None:
    """Turn crawl bytes into a trained language model, and account for every document on the way.

    \b
    gristmill run demo            the whole pipeline on the documentation of installed packages
    gristmill show latest         what came out, stage by stage
    gristmill why URL             the fate of one page
    gristmill generate latest "The array"

    RUN is a run's id, a unique beginning of it, or `latest`. Exit codes: 0 done, 1 the work failed, 2 the request
    was wrong.
    """


for _verbs in _SECTIONS.values():
    for _verb in _verbs:
        main.add_command(_verb)


if __name__ == "__main__":
    main()
