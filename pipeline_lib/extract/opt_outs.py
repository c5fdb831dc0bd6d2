"""Opt-outs: what a page's owner says on the archived record itself about use by others, and a user's own list.

Which words count, the parameters say; how they are written, these specifications do:
- robots directives: "Robots meta tag, data-nosnippet, and X-Robots-Tag specifications" (Google Search Central);
  `noai` and `noimageai` are DeviantArt's (2022), which others took up;
- text and data mining: "TDM Reservation Protocol (TDMRep)", W3C Community Group final report, sections 4 and 5.
A crawler saw what `robots.txt` said before it fetched; that is not asked again here.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, ClassVar, Literal

from pipeline_lib.extract.head_tags import HeadTag

if TYPE_CHECKING:
    from pipeline_lib.filters.rules.url_lists import Listing

OptOut = Literal[
    "opt_out_robots_header", "opt_out_robots_meta", "opt_out_tdm_header", "opt_out_tdm_meta", "opt_out_domain"
]

# What may stand in a robots header or tag: a word before a colon that is none of these is an agent's name.
_DIRECTIVES = frozenset(
    [
        "all",
        "noai",
        "noimageai",
        "noindex",
        "nofollow",
        "none",
        "noarchive",
        "nocache",
        "nosnippet",
        "indexifembedded",
        "notranslate",
        "noimageindex",
        "nositelinkssearchbox",
        "noodp",
        "noydir",
        "index",
        "follow",
        "archive",
        "snippet",
        "max-snippet",
        "max-image-preview",
        "max-video-preview",
        "unavailable_after",
    ]
)
_WITH_VALUE = ("unavailable_after", "max-snippet", "max-image-preview", "max-video-preview")
_ROBOTS = "robots"
_TDM = "tdm-reservation"
_SEPARATORS = re.compile(r"[,;\s]+")
_AGENT = re.compile(r"\s*([^\s:,;]+)\s*:")
_LABEL_SEPARATOR = "."
_MAX_LABELS = 128


@dataclass(frozen=True, kw_only=True)
class OptOutParameters:
    """Which opt-outs keep a page out of the corpus.

    The defaults are a careful team's: a page stays out if its owner has said in any common way, to everybody or to the
    crawler, that it is not to be used, searched or kept. `noai` says so of models in as many words. Microsoft reads
    `noarchive` as "not for training" (Bing, September 2023). `noindex` (and `none`, which contains it) says that a page
    is not to be found by strangers, which a model that has learned it by heart undoes; on the mini crawl's pages it
    costs less than one in fifty. `nosnippet` is about excerpts in search results and `noimageai` about pictures:
    neither speaks of text that is learned from, so they wait to be named.

    Attributes:
        directives: robots directives that keep a page out, of `X-Robots-Tag` headers and `<meta name="robots">`; none
            named: robots directives are not looked at.
        agents: names of agents, in any case of letters; directives for these count like those for all. `ccbot` is
            Common Crawl's crawler, in whose name the pages were fetched.
        tdm: a reservation of rights by the TDM Reservation Protocol (`tdm-reservation: 1`, header or meta) counts.
        domains: hosts that stay out, with all hosts below them.
        domain_files: lists of such hosts: paths, globs or fsspec URLs, one a line, plain, gzip or zstd, or archives in
            the layout of UT1's blacklists.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    directives: tuple[str, ...] = ("noai", "noarchive", "noindex", "none")
    agents: tuple[str, ...] = ("ccbot",)
    tdm: bool = True
    domains: tuple[str, ...] = ()
    domain_files: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in self.directives:
            if name.lower() not in _DIRECTIVES or name in _WITH_VALUE:
                known = ", ".join(sorted(_DIRECTIVES - set(_WITH_VALUE)))
                raise ValueError(f"directives has {name!r}: expected robots directives, such as {known}")
        for name in self.agents:
            if not _AGENT.fullmatch(f"{name}:"):
                raise ValueError(f"agents has {name!r}: expected the name of an agent, such as ccbot")
        for name in self.domains:
            if not name.strip(_LABEL_SEPARATOR) or re.search(r"[\s/]", name):
                raise ValueError(f"domains has {name!r}: expected a host, such as example.org")


def header_opt_out(headers: Mapping[str, str], parameters: OptOutParameters) -> OptOut | None:
    """What a response's HTTP headers (`Record.headers`) opt out by; None: they do not."""
    robots = headers.get("x-robots-tag")
    # values of a repeated header stand on lines of their own
    if robots is not None and any(_header_counts(line, parameters) for line in robots.split("\n")):
        return "opt_out_robots_header"
    if parameters.tdm and _TDM in headers and _reserves(headers[_TDM]):
        return "opt_out_tdm_header"
    return None


def meta_opt_out(tags: Sequence[HeadTag], parameters: OptOutParameters) -> OptOut | None:
    """What a page's `meta` tags opt out by; None: they do not. Robots come before TDM, in any order of tags."""
    names = {_ROBOTS, *(agent.lower() for agent in parameters.agents)}
    reserved = False
    for tag in tags:
        name = tag.attributes.get("name", "").strip().lower()
        content = tag.attributes.get("content", "")
        if tag.name != "meta" or not name:
            continue
        if name in names and _has_counted(content, parameters):
            return "opt_out_robots_meta"
        reserved = reserved or (parameters.tdm and name == _TDM and _reserves(content))
    return "opt_out_tdm_meta" if reserved else None


def meta_words(parameters: OptOutParameters) -> tuple[str, ...]:
    """What stands in every `meta` tag that may opt out."""
    return (_ROBOTS, _TDM, *parameters.agents)


def domain_opt_out(host: str, parameters: OptOutParameters) -> OptOut | None:
    """Whether a host (lower case, as of `host_of`) or a domain above it is on the user's list.

    Raises:
        WrongRequest: a list cannot be read.
    """
    if not host or not (parameters.domains or parameters.domain_files):
        return None
    return "opt_out_domain" if _is_listed(host, parameters.domains, parameters.domain_files) else None


def check_opt_out_lists(parameters: OptOutParameters) -> dict[str, str]:
    """Read all lists, before any work; what they say, for the key of a stage: SHA-256 of each file by its name.

    Raises:
        WrongRequest: names file and line: a file that is not there or no text in UTF-8, an empty list, a line that
            holds more than a host.
    """
    if not parameters.domain_files:
        return {}
    from pipeline_lib.filters.rules.word_lists import digests, list_files

    _listing(parameters.domains, parameters.domain_files)
    return digests(list_files("extract.opt_outs.domain_files", parameters.domain_files))


def _header_counts(value: str, parameters: OptOutParameters) -> bool:
    """Whether one value of X-Robots-Tag has a directive that counts, for all or for one of the agents.

    An agent's name goes for all directives after it, up to the next agent's.
    """
    agents = {agent.lower() for agent in parameters.agents}
    meant = True
    for piece in value.split(","):
        agent = _AGENT.match(piece)
        name = agent.group(1).lower() if agent else ""
        if agent and name not in _DIRECTIVES:
            meant = name in agents or name in (_ROBOTS, "*")
            piece = piece[agent.end() :]
        if meant and _has_counted(piece, parameters):
            return True
    return False


def _has_counted(content: str, parameters: OptOutParameters) -> bool:
    counted = {directive.lower() for directive in parameters.directives}
    return any(word in counted for word in _SEPARATORS.split(content.lower()))


def _reserves(value: str) -> bool:
    return any(each.strip().strip("\"'") == "1" for each in value.split(","))


@lru_cache(maxsize=1 << 16)
def _is_listed(host: str, domains: tuple[str, ...], files: tuple[str, ...]) -> bool:
    import polars as pl

    from pipeline_lib.filters.rules.url_lists import canonical_hosts

    [spelled] = canonical_hosts(pl.Series([host.strip(_LABEL_SEPARATOR)], dtype=pl.String)).to_list()
    labels = spelled.split(_LABEL_SEPARATOR)[-_MAX_LABELS:]
    above = [_LABEL_SEPARATOR.join(labels[start:]) for start in range(len(labels))]
    return bool(_listing(domains, files).has(pl.Series(above, dtype=pl.String)).any())


@lru_cache(maxsize=2)
def _listing(domains: tuple[str, ...], files: tuple[str, ...]) -> "Listing":
    # here, since polars takes a fifth of a second to import, and most crawls have no list
    from pipeline_lib.filters.rules.url_lists import domain_listing, named_domains
    from pipeline_lib.filters.rules.word_lists import list_files

    named = named_domains(domains)
    if not files:
        return named
    return domain_listing(list_files("extract.opt_outs.domain_files", files), ()).with_others(named)
