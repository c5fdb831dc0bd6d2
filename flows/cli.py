"""The `gristmill` command: its verbs, in the order in which a newcomer needs them.

Heavy modules are imported by the verbs that need them, so that `--help` answers at once, and Prefect only after the
server's address stands in the environment.
"""

import click

from flows.verbs.backfill import backfill
from flows.verbs.browse import browse
from flows.verbs.crawls import crawls
from flows.verbs.decontaminate import decontaminate
from flows.verbs.dedup import dedup
from flows.verbs.deploy import deploy
from flows.verbs.diff import diff
from flows.verbs.extract import extract
from flows.verbs.files import judge, train_classifier, train_perplexity
from flows.verbs.forget import forget
from flows.verbs.gc import gc
from flows.verbs.indexes import indexes
from flows.verbs.plan import plan
from flows.verbs.run import recipe, run
from flows.verbs.runs import generate, report, runs, show, what_if, why
from flows.verbs.schedule import schedule
from flows.verbs.trace import trace
from flows.verbs.ui import ui
from flows.verbs.verify import verify

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
