"""What installed packages say about themselves: which sources a documentation site has pages for, and what is in them.

Modules are read as syntax trees and never imported: reading documentation runs nobody's code. Everything here depends
on the installed files alone, so that the same versions give the same site on every machine.
"""

import ast
import csv
import gc
import hashlib
import importlib.metadata
import io
import re
import tokenize
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar, Literal

from storage.manifests import Part
from storage.wrong_request import WrongRequest

README_PAGE = "index.html"
PATHS_PART = "paths"

_TEST_FOLDERS = {"tests", "test", "_tests", "_test"}
_DISTRIBUTION_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?$")
_CRAWL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]*$")


class NothingToDocument(WrongRequest):
    """None of the packages is installed, so that there is nothing to crawl."""


class UnreadableSource(ValueError):
    """A source file that cannot be read as Python; `reason` is what the account counts it under."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, kw_only=True)
class DocumentationParameters:
    """Which packages the documentation site is made of, and into how many WARC files its crawl goes.

    The default packages are those of our own dependencies' closure with the most English in their docstrings, left out
    those whose text is generated from a schema (altair: the same sentences a thousand times); 8 files are four parts of
    work for each of two processes. `max_pages` bounds the whole crawl, for tests.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    packages: tuple[str, ...] = (
        *("torch", "scipy", "sympy", "sqlalchemy", "networkx", "polars", "numpy", "numba", "prefect"),
        *("setuptools", "narwhals", "pydantic", "mpmath", "docutils", "rich", "fsspec", "click", "jinja2"),
        *("pyarrow", "chardet", "packaging", "anyio", "datasketch", "httpx", "trafilatura", "fastapi", "jsonschema"),
        *(
            "markdown-it-py",
            "cloudpickle",
            "psutil",
            "safetensors",
            "starlette",
            "pyyaml",
            "typing-extensions",
            "warcio",
        ),
    )
    crawl: str = "DOCS-2026-00"
    num_files: int = 8
    max_pages: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "packages", tuple(self.packages))
        if not self.packages:
            raise ValueError("packages is empty: name at least one installed distribution, such as 'numpy'")
        misnamed = [name for name in self.packages if not _DISTRIBUTION_NAME.match(name)]
        if misnamed:
            raise ValueError(f"packages: {misnamed} are no names of distributions; expected such as 'markdown-it-py'")
        normalised = [site_name(name) for name in self.packages]
        twice = sorted({name for name in normalised if normalised.count(name) > 1})
        if twice:
            raise ValueError(f"packages: {twice} are named more than once")
        if not _CRAWL_NAME.match(self.crawl):
            raise ValueError(f"crawl={self.crawl!r}: expected letters, digits and dashes, such as 'DOCS-2026-00'")
        if not 1 <= self.num_files <= 100_000:
            raise ValueError(f"num_files={self.num_files}: expected 1 to 100000")
        if self.max_pages is not None and self.max_pages < 1:
            raise ValueError(f"max_pages={self.max_pages}: expected at least 1, or none for all")


@dataclass(frozen=True, slots=True)
class Readme:
    """The long description of a distribution."""

    text: str
    is_markdown: bool  # else reStructuredText, which is what a distribution that does not say means


@dataclass(frozen=True, slots=True)
class Site:
    """The documentation site of one installed distribution."""

    package: str  # normalised as in PEP 503: what stands in the host
    name: str  # as its metadata spells it
    version: str
    summary: str
    folder: Path  # that the paths of modules are relative to
    readme: Readme | None
    modules: tuple["Source", ...]  # sorted by address

    @property
    def root(self) -> str:
        return f"https://{self.package}.docs.invalid"

    @property
    def sources(self) -> tuple["Source", ...]:
        """One source for each page the site may have: its README, then its modules."""
        return (
            Source(kind="readme", name=self.name, address=f"{self.root}/{self.version}/{README_PAGE}"),
            *self.modules,
        )


@dataclass(frozen=True, slots=True)
class Source:
    """What one page is made from, and its address. `dropped_as` is why there will be no page, where that is known."""

    kind: Literal["module", "readme"]
    name: str  # dotted name of the module, or the distribution's
    address: str
    path: str = ""  # of the module's file, as the distribution's RECORD has it
    dropped_as: str | None = None


@dataclass(frozen=True, slots=True)
class Documented:
    """A class, function or method that says something, with what it holds that does too."""

    name: str
    signature: str
    docstring: str  # empty for a class that only has documented methods
    members: tuple["Documented", ...] = ()


@dataclass(frozen=True, slots=True)
class ModuleContent:
    """What a module says: its own docstring and those of its members, in the order of the file."""

    docstring: str
    members: tuple[Documented, ...]

    @property
    def is_empty(self) -> bool:
        return not self.docstring and not self.members


def site_name(package: str) -> str:
    """A distribution's name as PEP 503 normalises it."""
    return re.sub(r"[-_.]+", "-", package).lower()


def find_distribution(package: str) -> importlib.metadata.Distribution | None:
    """The installed distribution, or None; one whose installer recorded no files counts as not installed."""
    try:
        distribution = importlib.metadata.distribution(package)
    except importlib.metadata.PackageNotFoundError:
        return None
    return distribution if distribution.read_text("RECORD") else None


def documentation_identity(parameters: DocumentationParameters) -> dict[str, str]:
    """What the site is made of: for each installed package its version and a digest of its modules and metadata.

    The digest is over RECORD's own digests of `.py` files and METADATA: scripts hold the path of the interpreter, and
    compiled files depend on the installer.

    Raises:
        NothingToDocument: none of the packages is installed.
    """
    identity: dict[str, str] = {}
    for package in parameters.packages:
        distribution = find_distribution(package)
        if distribution is not None:
            rows = sorted(
                f"{path},{digest}"
                for path, digest in _record(distribution)
                if not path.startswith("..") and path.endswith((".py", ".dist-info/METADATA"))
            )
            digest = hashlib.sha256("\n".join(rows).encode()).hexdigest()
            identity[site_name(package)] = f"{distribution.version} sha256:{digest}"
    if not identity:
        raise NothingToDocument(
            f"none of the packages to document is installed: {', '.join(parameters.packages)}; install them, or name "
            "others in the recipe"
        )
    return dict(sorted(identity.items()))


def documentation_parts(parameters: DocumentationParameters) -> list[Part]:
    """The parts of the crawl stage: `part-00000` and on, one a WARC file, and `paths`, their list."""
    numbered = [Part(name=f"part-{index:05d}", source={"index": index}) for index in range(parameters.num_files)]
    return [*numbered, Part(name=PATHS_PART)]


def list_sites(parameters: DocumentationParameters) -> tuple[Site, ...]:
    """The sites of the packages that are installed, sorted by name; only file names and metadata are read.

    Raises:
        NothingToDocument: none of the packages is installed.
    """
    found = {site_name(package): find_distribution(package) for package in parameters.packages}
    sites = tuple(_site(package, found) for package, found in sorted(found.items()) if found is not None)
    if not sites:
        documentation_identity(parameters)  # raises, and says what to do
    return sites


def _site(package: str, distribution: importlib.metadata.Distribution) -> Site:
    metadata = distribution.metadata.json
    root = f"https://{package}.docs.invalid/{distribution.version}"
    modules = [_module_source(path, root) for path, _ in _record(distribution) if path.endswith(".py")]
    by_address: dict[str, Source] = {}
    for source in sorted(modules, key=lambda source: (source.address, source.path)):
        by_address.setdefault(source.address, source)
    return Site(
        package=package,
        name=str(metadata["name"]),
        version=distribution.version,
        summary=" ".join(str(metadata.get("summary", "")).split()),
        folder=Path(str(distribution.locate_file(""))),
        readme=_readme(metadata),
        modules=tuple(by_address.values()),
    )


def _readme(metadata: Mapping[str, Any]) -> Readme | None:
    text = str(metadata.get("description", ""))
    if not text.strip() or text.strip() == "UNKNOWN":  # what old setuptools wrote for none
        return None
    return Readme(text=text, is_markdown="markdown" in str(metadata.get("description_content_type", "")).lower())


def _record(distribution: importlib.metadata.Distribution) -> list[tuple[str, str]]:
    """Paths of a distribution's modules and metadata with their digests, as its installer recorded them."""
    record = distribution.read_text("RECORD") or ""
    # torch alone records ten thousand C++ headers
    lines = [line for line in record.splitlines() if ".py," in line or "METADATA," in line or '"' in line]
    return [(row[0], row[1]) for row in csv.reader(lines) if len(row) > 1]


def _module_source(path: str, root: str) -> Source:
    """The page of a module: `package/module.html`, and `package/__init__.html` for a package.

    Left out: tests (any folder `test` or `tests`, modules `test_*`, `*_test` and `conftest`, and private folders inside
    one called `testing`), and files that no import statement can reach. Vendored copies stay.
    """
    pure = PurePosixPath(path)
    folders, stem = pure.parts[:-1], pure.stem
    parts = (*folders, stem)
    dotted = folders if stem == "__init__" and folders else parts
    dropped_as = None
    if not all(part.isidentifier() for part in parts):
        dropped_as = "not_a_module"
    elif (
        not _TEST_FOLDERS.isdisjoint(folders)
        or stem.startswith("test_")
        or stem.endswith("_test")
        or stem == "conftest"
        or any(outer == "testing" and inner.startswith("_") for outer, inner in pairwise(dotted))
    ):
        dropped_as = "test_module"
    return Source(
        kind="module",
        name=".".join(dotted),
        address=f"{root}/{'/'.join(parts)}.html",
        path=path,
        dropped_as=dropped_as,
    )


def read_source(site: Site, source: Source) -> bytes:
    """The bytes of a module of an installed package. Raises UnreadableSource where the file is gone."""
    try:
        return (site.folder / source.path).read_bytes()
    except OSError as error:
        raise UnreadableSource("file_missing") from error


def read_module(source: bytes) -> ModuleContent:
    """The docstrings and signatures in a module's source.

    Raises:
        UnreadableSource: the bytes are not in the encoding they declare, or are no Python.
    """
    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(source).readline)
        text = source.decode(encoding)
    except (UnicodeDecodeError, SyntaxError, LookupError) as error:
        raise UnreadableSource("undecodable_source") from error
    text = text.replace("\r\n", "\n").replace("\r", "\n")  # lines as syntax trees count them
    try:
        with warnings.catch_warnings(), _collector_off():
            warnings.simplefilter("ignore")  # of invalid escapes and the like: not our code to mend
            tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise UnreadableSource("unparsable_source") from error
    lines = text.split("\n")
    return ModuleContent(docstring=_docstring(tree), members=tuple(_members(tree.body, lines)))


@contextmanager
def _collector_off() -> Iterator[None]:
    """No garbage collection meanwhile: it would go through a growing tree again and again (a third of the time)."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _docstring(node: ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> str:
    docstring = ast.get_docstring(node, clean=False) or ""
    return docstring if docstring.strip() else ""


def _members(body: Sequence[ast.stmt], lines: list[str]) -> Iterator[Documented]:
    """Documented members of a module or class, those inside `if` and `try` included, those inside functions not."""
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            docstring = _docstring(node)
            if docstring:
                yield Documented(name=node.name, signature=_signature(node, lines), docstring=docstring)
        elif isinstance(node, ast.ClassDef):
            docstring = _docstring(node)
            members = tuple(_members(node.body, lines))
            if docstring or members:
                signature = _signature(node, lines)
                yield Documented(name=node.name, signature=signature, docstring=docstring, members=members)
        elif isinstance(node, ast.If | ast.Try | ast.With):
            yield from _members(node.body, lines)
            if not isinstance(node, ast.With):
                yield from _members(node.orelse, lines)
            for handler in node.handlers if isinstance(node, ast.Try) else ():
                yield from _members(handler.body, lines)


def _signature(node: ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef, lines: list[str]) -> str:
    """The head of a definition as it is typed, on one line, without its colon."""
    first = node.body[0]
    decorators = getattr(first, "decorator_list", [])
    if decorators:  # a definition's own position is that of its name
        first = ast.Expr(decorators[0], lineno=decorators[0].lineno, col_offset=max(0, decorators[0].col_offset - 1))
    head = lines[node.lineno - 1 : first.lineno]
    head[-1] = head[-1].encode()[: first.col_offset].decode(errors="replace")  # columns are counted in bytes
    text = " ".join(head)
    if "#" in text:  # comments between the parameters
        text = _unparsed_head(node)
    text = " ".join(text.split()).removesuffix(":").rstrip()
    return text.replace("( ", "(").replace(", )", ")").replace(" )", ")").replace(",)", ")")


def _unparsed_head(node: ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> str:
    if isinstance(node, ast.ClassDef):
        bases = ", ".join(ast.unparse(base) for base in (*node.bases, *(keyword.value for keyword in node.keywords)))
        return f"class {node.name}({bases})" if bases else f"class {node.name}"
    returns = f" -> {ast.unparse(node.returns)}" if node.returns is not None else ""
    keyword = "async def" if isinstance(node, ast.AsyncFunctionDef) else "def"
    return f"{keyword} {node.name}({ast.unparse(node.args)}){returns}"
