"""A whole run as one validated value: read from YAML, overridden from the command line, stored with the run."""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass, field, is_dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from flows.filter_settings import with_preset
from flows.resources import ResourceParameters
from flows.settings import (
    SettingsError,
    apply_override,
    explain,
    known_keys,
    list_single_values,
    read_settings,
    read_settings_file,
    refuse_unknown,
)
from flows.tracking.tracker import TrackerName
from model.evaluation.parameters import EvaluationParameters
from model.export.parameters import ExportParameters
from model.parameters import TrainingParameters
from pipeline_lib.corpus.parameters import CorpusParameters
from pipeline_lib.crawl.crawls import INDEX_SERVER, LATEST
from pipeline_lib.crawl.documentation import DocumentationParameters
from pipeline_lib.crawl.fetching import FetchParameters
from pipeline_lib.crawl.index_query import DATA_SERVER, CrawlSelection, IndexQuery, check_file_choice
from pipeline_lib.crawl.work_list import WorkListParameters
from pipeline_lib.decontaminate.parameters import DecontaminationParameters
from pipeline_lib.dedup.parameters import DedupParameters
from pipeline_lib.extract.parameters import ExtractParameters
from pipeline_lib.filters.parameters import FilterParameters
from pipeline_lib.privacy.parameters import PrivacyParameters
from pipeline_lib.repeated_lines.parameters import RepeatedLinesParameters
from pipeline_lib.report.parameters import ReportParameters
from pipeline_lib.semantic.parameters import SemanticParameters
from pipeline_lib.tokenizer.parameters import TokenizerParameters
from pipeline_lib.tokens.parameters import TokenParameters
from storage.digests import value_digest
from storage.parameters import shaping_parameters

Goal = Literal["corpus", "tokens", "model"]

# What decides neither which documents of a run's sources it keeps, nor what their text becomes.
_NO_RULES = {
    *("name", "description", "goal", "source", "fetch", "dedup_index", "corpus", "report"),
    *("tokenizer", "tokens", "training", "evaluation", "export", "tracking", "resources"),
}
_PLACES = {"crawl", "base_url", "index_server"}  # of a source: which crawl, and where it is
_INDEX_DIGITS = 8
# What shapes nothing that a run makes.
_MANNERS = {"name", "description", "tracking", "resources"}


@dataclass(frozen=True, kw_only=True)
class SourceParameters:
    """Where pages come from.

    Attributes:
        kind: `commoncrawl`: a crawl of Common Crawl, whole files of it or records that its index names; `warc`: WARC or
            WET files by path, glob or URL; `documentation`: the documentation of installed packages, rendered to WARC
            files first; `texts`: no pages, the `texts` alone.
        crawl: for `commoncrawl`: an id such as CC-MAIN-2026-43, or `latest`, which is looked up when the run begins:
            the newest, if it is not built yet.
        content: for `commoncrawl`: `warc`, pages as they were fetched, or `wet`, their text as Common Crawl extracted
            it: a sixth of the bytes, and no structure.
        paths: for `warc`: files, folders, globs or fsspec URLs of WARC files, or lists of them (`warc.paths.gz`).
        base_url: for `commoncrawl`: the address or folder that holds `crawl-data/` and `cc-index/`, a mirror or
            s3://commoncrawl; null: Common Crawl's own. For `warc`: what the entries of a path list are relative to,
            where that is not the folder the list is in.
        index_server: for `commoncrawl`: what answers for `crawl: latest` and for `index.kind: api`.
        files: take only the first so many files; null takes all.
        every: take every so many-th file only.
        sample: take so many files, drawn by `seed`; null draws no sample.
        seed: of the sample.
        index: for `commoncrawl`: read the records that the index has of this, not whole files; null: whole files.
        work_list: how records that the index names become requests and parts.
        texts: JSON Lines and Parquet files with texts to mix in, beside any kind: paths, globs, folders, URLs. Which
            column holds the text, `extract.text_field` says.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    kind: Literal["commoncrawl", "warc", "documentation", "texts"] = "warc"
    crawl: str | None = None
    content: Literal["warc", "wet"] = "warc"
    paths: tuple[str, ...] = ()
    base_url: str | None = None
    index_server: str = INDEX_SERVER
    files: int | None = None
    every: int = 1
    sample: int | None = None
    seed: int = 0
    index: IndexQuery | None = None
    work_list: WorkListParameters = field(default_factory=WorkListParameters)
    texts: tuple[str, ...] = ()
    documentation: DocumentationParameters = field(default_factory=DocumentationParameters)

    def __post_init__(self) -> None:
        check_file_choice(self.files, self.every, self.sample)
        if self.kind == "commoncrawl":
            self._check_crawl()
        elif self.crawl is not None or self.index is not None:
            key = "crawl" if self.crawl is not None else "index"
            raise ValueError(f"{key} is given, but kind is {self.kind}: set kind to commoncrawl")
        if self.kind == "warc" and not self.paths:
            raise ValueError(
                "no WARC file is named: set source.paths, for instance "
                "--set source.paths=crawl-data/CC-MAIN-2026-43/warc.paths.gz"
            )
        if self.kind == "texts" and not self.texts:
            raise ValueError("kind is texts, but no file is named: set source.texts, for instance to docs/*.jsonl.zst")
        if self.kind != "warc" and self.paths:
            raise ValueError(f"kind is {self.kind}, but paths are given: {self.paths}; set kind to warc to read them")

    def selection(self) -> CrawlSelection:
        """Which crawl, where it is, and which of its files."""
        assert self.crawl is not None
        return CrawlSelection(
            crawl=self.crawl,
            files=self.content,
            first=self.files,
            every=self.every,
            sample=self.sample,
            seed=self.seed,
            base_url=self.base_url or DATA_SERVER,
            index_server=self.index_server,
        )

    def _check_crawl(self) -> None:
        if self.crawl is None:
            raise ValueError(
                "no crawl is named: --set source.crawl=CC-MAIN-2026-43, or source.crawl=latest; "
                "`gristmill crawls` lists all"
            )
        self.selection()
        if self.index is not None and (self.files, self.every, self.sample, self.content) != (None, 1, None, "warc"):
            raise ValueError(
                "index names records of any file: files, every, sample and content choose whole files; "
                "source.index.max_records limits how many records are taken"
            )


class Recipe(BaseModel):
    """Everything that shapes what a run makes; how it is run (workers, runner, store) is not part of it, except for
    what its work may take of a machine (`resources`).

    `dedup_index`: an index of the store, such as `weekly`: what the earlier runs with this index kept is removed from
    this one, too, and what it keeps, later runs leave out; null: a run knows of no other. A recipe for whatever crawl
    is the latest that does not say gets an index of its own, so that each crawl adds what is new (`load_recipe`).

    `tracking`: where metrics go beside the run's record: tensorboard (event files in the run's folder), mlflow (a
    SQLite file beside the runs, or MLFLOW_TRACKING_URI), wandb (offline, or WANDB_MODE); [] for nowhere.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$")
    description: str = ""
    goal: Goal = "model"
    source: SourceParameters
    fetch: FetchParameters = FetchParameters()
    extract: ExtractParameters = ExtractParameters()
    filters: FilterParameters = FilterParameters()
    dedup: DedupParameters = DedupParameters()
    dedup_index: str | None = Field(default=None, pattern=r"^[a-z0-9][a-z0-9-]*$")
    semantic: SemanticParameters = SemanticParameters()
    lines: RepeatedLinesParameters = RepeatedLinesParameters()
    decontamination: DecontaminationParameters = DecontaminationParameters()
    privacy: PrivacyParameters = PrivacyParameters()
    corpus: CorpusParameters = CorpusParameters()
    tokenizer: TokenizerParameters = TokenizerParameters()
    tokens: TokenParameters = TokenParameters()
    training: TrainingParameters = TrainingParameters()
    evaluation: EvaluationParameters = EvaluationParameters()
    export: ExportParameters = ExportParameters()
    report: ReportParameters = ReportParameters()
    tracking: tuple[TrackerName, ...] = ("tensorboard",)
    resources: ResourceParameters = ResourceParameters()

    @model_validator(mode="after")
    def _check_quality_signal(self) -> Self:
        signal = self.dedup.quality_signal
        if signal is not None and signal not in self.filters.signals():
            close = difflib.get_close_matches(signal, self.filters.signals(), n=1)
            hint = f"did you mean {close[0]!r}? " if close else ""
            raise ValueError(
                f"dedup.quality_signal={signal!r} is none of the signals that the filters measure: {hint}"
                f"they are {', '.join(self.filters.signals())}; name another rule set in filters.also_measure for more"
            )
        return self

    @property
    def is_for_latest(self) -> bool:
        """Whether the newest crawl is meant, whichever that is when a run begins."""
        return (self.source.crawl or "").lower() == LATEST

    def with_crawl(self, crawl: str) -> Self:
        """The same recipe for another crawl."""
        return self.model_copy(update={"source": replace(self.source, crawl=crawl)})

    def own_index(self) -> str:
        """The index of a series of runs of this recipe, each of another crawl: its name and what it takes of a crawl.

        Where the crawl lies is not part of it. A recipe of the same name that takes other files or other records has
        another index: a trial on four files takes nothing from the corpus of all.
        """
        taken = shaping_parameters(self.source)
        choice = {name: value for name, value in taken.items() if name not in _PLACES}
        return f"{self.name}-{value_digest(choice)[:_INDEX_DIGITS]}"

    def digest(self) -> str:
        """SHA-256 of all that shapes the run: the recipe without its name and description, and without manners."""
        return self._digest_without(_MANNERS)

    def rules_digest(self) -> str:
        """SHA-256 of what decides which documents of its sources a run keeps, and with which text."""
        return self._digest_without(_NO_RULES)

    def _digest_without(self, keys: set[str]) -> str:
        return value_digest(
            {
                name: shaping_parameters(value) if is_dataclass(value) else value
                for name, value in self
                if name not in keys
            }
        )


def builtin_recipes() -> dict[str, str]:
    """Name and description of the recipes that come with the program."""
    found = {}
    for entry in sorted((resources.files("flows") / "recipes").iterdir(), key=lambda entry: entry.name):
        if entry.name.endswith(".yaml"):
            content = yaml.safe_load(entry.read_text(encoding="utf-8"))
            found[entry.name.removesuffix(".yaml")] = str(content.get("description", ""))
    return found


def load_recipe(name: str, overrides: Sequence[str] = ()) -> Recipe:
    """A built-in recipe by name, or a YAML file by path, with `key.sub=value` overrides.

    A recipe with `crawl: latest` that says nothing of `dedup_index` has its own (`Recipe.own_index`); one that says
    `dedup_index: null` has none.

    Raises:
        SettingsError: no such recipe, not YAML, an unknown key (the nearest known one is named), or a wrong value.
    """
    content, place = _read(name)
    known = {*known_keys(Recipe, ""), "filters.preset"}
    refuse_unknown(content, "", known, place)
    for override in overrides:
        apply_override(content, override, known)
    if "filters" in content:
        content["filters"] = with_preset(content["filters"], place)
    list_single_values(content, Recipe)
    try:
        recipe = Recipe.model_validate(content)
    except ValidationError as error:
        raise SettingsError(f"{place}: {explain(error)}") from error
    if recipe.is_for_latest and "dedup_index" not in recipe.model_fields_set:
        recipe = recipe.model_copy(update={"dedup_index": recipe.own_index()})
    return recipe


def _read(name: str) -> tuple[dict[str, Any], str]:
    builtin = resources.files("flows") / "recipes" / f"{name}.yaml"
    path = Path(name)
    if "/" not in name and builtin.is_file():
        place = f"recipe {name}"
        content = read_settings(builtin.read_text(encoding="utf-8"), place)
    elif path.is_file():
        place = str(path)
        content = read_settings_file(path)
    else:
        close = difflib.get_close_matches(name, builtin_recipes(), n=1)
        hint = f"did you mean {close[0]!r}? " if close else ""
        raise SettingsError(
            f"no recipe {name!r}: {hint}built in are {', '.join(builtin_recipes())}; or give the path of a YAML file"
        )
    content.setdefault("name", path.stem.lower())
    return content, place
