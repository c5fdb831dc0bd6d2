"""What can be found out about a source before a run begins: whether it is there, and which crawl is the latest."""

from dataclasses import replace

from flows.recipe import Recipe
from pipeline_lib.crawl.fetching import FetchParameters
from pipeline_lib.crawl.listing import check_paths
from pipeline_lib.crawl.remote import Remote
from pipeline_lib.crawl.select_stage import resolved
from pipeline_lib.decontaminate.evaluation_files import find_sets
from pipeline_lib.extract.opt_outs import check_opt_out_lists
from pipeline_lib.text_files.finding import find_files

_MAX_ATTEMPTS = 5
_GIVE_UP_SECONDS = 60.0


def check_source(recipe: Recipe) -> Recipe:
    """The recipe with the id of a crawl in place of `latest`, after a look at what it names.

    Raises:
        WrongRequest: something that is named is not there, or cannot be reached.
    """
    source = recipe.source
    remote = Remote(impatient(recipe.fetch))
    if source.kind == "warc":
        check_paths(remote, source.paths, base_url=source.base_url)
    if source.texts:
        find_files(source.texts)
    find_sets(recipe.decontamination.evaluation_sets)
    check_opt_out_lists(recipe.extract.opt_outs)
    if source.kind != "commoncrawl":
        return recipe
    crawl = resolved(source.selection(), remote).crawl
    return recipe.model_copy(update={"source": replace(source, crawl=crawl)})


def impatient(parameters: FetchParameters) -> FetchParameters:
    """The same manners with a small budget: somebody waits at a terminal."""
    return replace(
        parameters,
        max_attempts=min(parameters.max_attempts, _MAX_ATTEMPTS),
        give_up_seconds=min(parameters.give_up_seconds, _GIVE_UP_SECONDS),
    )
