"""A whole run as one validated value: read from YAML, overridden from the command line, stored with the run."""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from flows.filter_settings import with_preset
from flows.settings import (
    SettingsError,
    apply_override,
    explain,
    known_keys,
    read_settings,
    read_settings_file,
    refuse_unknown,
)
from model.evaluation.stage import EvaluationParameters
from model.export.stage import ExportParameters
from model.training import TrainingParameters
from pipeline_lib.corpus.parameters import CorpusParameters
from pipeline_lib.crawl.documentation import DocumentationParameters
from pipeline_lib.crawl.fetching import FetchParameters
from pipeline_lib.dedup.parameters import DedupParameters
from pipeline_lib.extract.parameters import ExtractParameters
from pipeline_lib.filters.parameters import FilterParameters
from pipeline_lib.privacy.parameters import PrivacyParameters
from pipeline_lib.report.parameters import ReportParameters
from pipeline_lib.tokenizer.parameters import TokenizerParameters
from pipeline_lib.tokens.parameters import TokenParameters
from storage.digests import value_digest

Goal = Literal["corpus", "tokens", "model"]


def _listed(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


@dataclass(frozen=True, kw_only=True)
class SourceParameters:
    """Where pages come from.

    Attributes:
        kind: `warc`: WARC files that are there already; `documentation`: the documentation of installed packages,
            rendered to WARC files first.
        paths: for `warc`: files, folders, globs or fsspec URLs of WARC files, or lists of them (`warc.paths.gz`).
        base_url: what the entries of a path list are relative to, where that is not the folder the list is in.
        files: take only the first so many files; None takes all.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    kind: Literal["documentation", "warc"] = "warc"
    paths: Annotated[tuple[str, ...], BeforeValidator(_listed)] = ()
    base_url: str | None = None
    files: int | None = None
    documentation: DocumentationParameters = field(default_factory=DocumentationParameters)

    def __post_init__(self) -> None:
        if self.files is not None and self.files < 1:
            raise ValueError(f"files={self.files}: at least one file is needed, or null for all")
        if self.kind == "warc" and not self.paths:
            raise ValueError(
                "no WARC file is named: set source.paths, for instance "
                "--set source.paths=crawl-data/CC-MAIN-2026-43/warc.paths.gz"
            )
        if self.kind == "documentation" and self.paths:
            raise ValueError(f"kind is documentation, but paths are given: {self.paths}; set kind to warc to read them")


class Recipe(BaseModel):
    """Everything that shapes what a run makes; how it is run (workers, runner, store) is not part of it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$")
    description: str = ""
    goal: Goal = "model"
    source: SourceParameters
    fetch: FetchParameters = FetchParameters()
    extract: ExtractParameters = ExtractParameters()
    filters: FilterParameters = FilterParameters()
    dedup: DedupParameters = DedupParameters()
    privacy: PrivacyParameters = PrivacyParameters()
    corpus: CorpusParameters = CorpusParameters()
    tokenizer: TokenizerParameters = TokenizerParameters()
    tokens: TokenParameters = TokenParameters()
    training: TrainingParameters = TrainingParameters()
    evaluation: EvaluationParameters = EvaluationParameters()
    export: ExportParameters = ExportParameters()
    report: ReportParameters = ReportParameters()

    def digest(self) -> str:
        """SHA-256 of all that shapes the run: the recipe without its name and description."""
        return value_digest(self.model_dump(mode="json", exclude={"name", "description"}))


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
    try:
        return Recipe.model_validate(content)
    except ValidationError as error:
        raise SettingsError(f"{place}: {explain(error)}") from error


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
