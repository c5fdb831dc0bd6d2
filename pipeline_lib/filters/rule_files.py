"""The files that rules look into: lists of addresses and words, and models. Their content shapes what is measured."""

from pipeline_lib.filters.parameters import FilterParameters
from pipeline_lib.filters.rules import bad_words, classifier, perplexity, url


def check_rule_files(filters: FilterParameters) -> dict[str, str]:
    """Read every list and look at every model that the measured rule sets name; returns `rule_files_digests`.

    Raises:
        WrongRequest: one is not there or not what it has to be; the message names key and file.
    """
    measured = filters.measured()
    if "url" in measured:
        url.check_lists(filters.url)
    if "bad_words" in measured:
        bad_words.check_lists(filters.bad_words)
    return rule_files_digests(filters)


def rule_files_digests(filters: FilterParameters) -> dict[str, str]:
    """By key, the digest of the content of each file that is looked into: for stage keys.

    Raises:
        WrongRequest: a file is not there or not what it has to be.
    """
    measured = filters.measured()
    digests: dict[str, str] = {}
    if "url" in measured:
        digests.update({f"url.{key}": digest for key, digest in url.lists_digest(filters.url).items()})
    if "bad_words" in measured:
        digests.update({f"bad_words.{key}": each for key, each in bad_words.lists_digest(filters.bad_words).items()})
    models = {
        "classifier.model": classifier.model_digest(filters.classifier) if "classifier" in measured else None,
        "perplexity.model": perplexity.model_digest(filters.perplexity) if "perplexity" in measured else None,
    }
    return digests | {key: digest for key, digest in models.items() if digest is not None}
