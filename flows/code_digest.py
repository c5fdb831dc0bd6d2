"""The digest of the code that computes a stage: what changes it changes the stage's key, and nothing else does."""

import ast
import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

_PACKAGES = ("pipeline_lib", "model", "storage")
_DATA_SUFFIXES = frozenset({".npz", ".jinja", ".css", ".js"})


def code_digest(modules: Iterable[str]) -> str:
    """SHA-256 over the syntax trees of modules and of all our modules that they import, directly or not.

    Comments, docstrings and layout do not count; data files in a module's folder (tables, templates) do.
    """
    closure: set[str] = set()
    waiting = sorted(modules)
    while waiting:
        module = waiting.pop()
        if module not in closure:
            closure.add(module)
            waiting.extend(_read(module).imports)
    digest = hashlib.sha256()
    for module in sorted(closure):
        digest.update(f"{module}\n{_read(module).digest}\n".encode())
    return digest.hexdigest()


@cache
def _source(module: str) -> Path | None:
    """The file of one of our modules, None for a name that is no module (a function imported from one).

    Found by its path: asking the import system for `a.b.c` would run `a.b`.
    """
    package, *inner = module.split(".")
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        return None
    path = Path(spec.origin).parent.joinpath(*inner)
    for candidate in (path / "__init__.py", path.with_suffix(".py")):
        if candidate.is_file():
            return candidate
    return None


@dataclass(frozen=True, kw_only=True)
class _Module:
    imports: frozenset[str]  # our modules that it names
    digest: str


@cache
def _read(module: str) -> _Module:
    # The tree is let go at once: a million nodes that stay would make every later garbage collection slow.
    source = _source(module)
    if source is None:
        raise ModuleNotFoundError(f"code_digest: {module} is no module")
    tree = ast.parse(source.read_bytes(), filename=str(source))
    named: set[str] = set()
    for node in _statements(tree):
        if isinstance(node, ast.Import):
            named.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            named.add(node.module)
            if node.module.split(".")[0] in _PACKAGES:
                named.update(f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            if (
                isinstance(first, ast.Expr)
                and isinstance(first.value, ast.Constant)
                and isinstance(first.value.value, str)
            ):
                node.body = node.body[1:]
    digest = hashlib.sha256(ast.dump(tree).encode())
    for path in _data_files(module):
        digest.update(f"{path.name}\n".encode())
        digest.update(path.read_bytes())
    ours = {name for name in named if name.split(".")[0] in _PACKAGES}
    return _Module(imports=frozenset(name for name in ours if _source(name) is not None), digest=digest.hexdigest())


def _statements(tree: ast.Module) -> Iterator[ast.AST]:
    """A module and all statements in it, without looking into expressions, which are most of a tree."""
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        yield node
        for name in ("body", "orelse", "finalbody", "handlers", "cases"):
            waiting.extend(getattr(node, name, ()))


def _data_files(module: str) -> list[Path]:
    source = _source(module)
    if source is None or source.name == "__init__.py":
        return []
    beside = [*source.parent.iterdir(), *source.parent.glob("templates/*")]
    return sorted(path for path in beside if path.suffix in _DATA_SUFFIXES)
