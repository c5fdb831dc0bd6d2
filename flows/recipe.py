"""A whole run as one validated value: read from YAML, overridden from the command line, stored with the run."""

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

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
from storage.wrong_request import WrongRequest

Goal = Literal["corpus", "tokens", "model"]


class RecipeError(WrongRequest):
    """A recipe that cannot be run: the message says where, what was found, and what would do."""


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
        RecipeError: no such recipe, not YAML, an unknown key (the nearest known one is named), or a wrong value.
    """
    content, place = _read(name)
    known = set(_known_keys(Recipe, ""))
    _refuse_unknown(content, "", known, place)
    for override in overrides:
        _apply_override(content, override, known)
    try:
        return Recipe.model_validate(content)
    except ValidationError as error:
        raise RecipeError(f"{place}: {_explain(error)}") from error


def _read(name: str) -> tuple[dict[str, Any], str]:
    builtin = resources.files("flows") / "recipes" / f"{name}.yaml"
    path = Path(name)
    if "/" not in name and builtin.is_file():
        text, place = builtin.read_text(encoding="utf-8"), f"recipe {name}"
    elif path.is_file():
        try:
            text, place = path.read_text(encoding="utf-8"), str(path)
        except UnicodeDecodeError as error:
            raise RecipeError(f"{path} is not UTF-8 text: {error}") from error
    else:
        close = difflib.get_close_matches(name, builtin_recipes(), n=1)
        hint = f"did you mean {close[0]!r}? " if close else ""
        raise RecipeError(
            f"no recipe {name!r}: {hint}built in are {', '.join(builtin_recipes())}; or give the path of a YAML file"
        )
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise RecipeError(f"{place} is not YAML: {error}") from error
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        raise RecipeError(
            f"{place}: expected keys and values such as `name: my-corpus`, found {type(content).__name__}"
        )
    content.setdefault("name", path.stem.lower())
    return content, place


def _known_keys(kind: Any, prefix: str) -> Iterator[str]:
    """All keys of the recipe, dotted."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        children: dict[str, Any] = {name: each.annotation for name, each in kind.model_fields.items()}
    elif is_dataclass(kind):
        children = {each.name: each.type for each in fields(kind) if each.init}
    else:
        return
    for name, child in children.items():
        yield f"{prefix}{name}"
        yield from _known_keys(child, f"{prefix}{name}.")


def _refuse_unknown(content: Mapping[str, Any], prefix: str, known: set[str], place: str) -> None:
    for name, value in content.items():
        key = f"{prefix}{name}"
        if key not in known:
            raise RecipeError(f"{place}: unknown key {key!r}; {_suggest(key, known)}")
        if isinstance(value, dict):
            _refuse_unknown(value, f"{key}.", known, place)


def _suggest(key: str, known: set[str]) -> str:
    """The known key that was probably meant: alike in the same place, or of the same name elsewhere."""
    prefix, _, name = key.rpartition(".")
    beside = {each.rpartition(".")[2]: each for each in known if each.rpartition(".")[0] == prefix}
    alike = difflib.get_close_matches(name, beside, n=1, cutoff=0.6)
    if alike:
        return f"did you mean {beside[alike[0]]!r}?"
    elsewhere = sorted(each for each in known if each.rpartition(".")[2] == name)
    anywhere = elsewhere or difflib.get_close_matches(key, sorted(known), n=1, cutoff=0.6)
    if anywhere:
        return f"did you mean {' or '.join(repr(each) for each in anywhere[:4])}?"
    return f"known here are {', '.join(sorted(beside))}" if beside else "`gristmill recipe demo` shows all keys"


def _apply_override(content: dict[str, Any], override: str, known: set[str]) -> None:
    key, separator, text = override.partition("=")
    key = key.strip()
    if not separator or not key:
        raise RecipeError(f"--set {override!r}: expected key=value, for instance --set dedup.threshold=0.8")
    if key not in known:
        raise RecipeError(f"--set {override!r}: unknown key {key!r}; {_suggest(key, known)}")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise RecipeError(f"--set {override!r}: the value is not YAML: {error}") from error
    if isinstance(value, dict):
        _refuse_unknown(value, f"{key}.", known, f"--set {override!r}")
    *folders, name = key.split(".")
    for folder in folders:
        inner = content.setdefault(folder, {})
        if not isinstance(inner, dict):
            raise RecipeError(f"--set {override!r}: {folder} is {inner!r} in the recipe, not a group of keys")
        content = inner
    content[name] = value


def _explain(error: ValidationError) -> str:
    lines = []
    for each in error.errors():
        key = ".".join(str(step) for step in each["loc"])
        message = each["msg"].removeprefix("Value error, ")
        shown = (
            ""
            if isinstance(each.get("input"), dict | list) or each["type"] == "missing"
            else f" (found {each['input']!r})"
        )
        lines.append(f"{key}: {message}{shown}")
    return "; ".join(lines)
