"""The digest of the code that computes a stage: what changes it changes the stage's key, and nothing else does."""

import ast
import hashlib
from collections.abc import Iterable
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
            waiting.extend(_imports(module))
    digest = hashlib.sha256()
    for module in sorted(closure):
        digest.update(f"{module}\n{_module_digest(module)}\n".encode())
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


@cache
def _tree(module: str) -> ast.Module:
    source = _source(module)
    if source is None:
        raise ModuleNotFoundError(f"code_digest: {module} is no module")
    return ast.parse(source.read_bytes(), filename=str(source))


@cache
def _imports(module: str) -> frozenset[str]:
    named: set[str] = set()
    for node in ast.walk(_tree(module)):
        if isinstance(node, ast.Import):
            named.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            named.add(node.module)
            if node.module.split(".")[0] in _PACKAGES:
                named.update(f"{node.module}.{alias.name}" for alias in node.names)
    ours = {name for name in named if name.split(".")[0] in _PACKAGES}
    return frozenset(name for name in ours if _source(name) is not None)


@cache
def _module_digest(module: str) -> str:
    tree = _tree(module)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
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
    return digest.hexdigest()


def _data_files(module: str) -> list[Path]:
    source = _source(module)
    if source is None or source.name == "__init__.py":
        return []
    beside = [*source.parent.iterdir(), *source.parent.glob("templates/*")]
    return sorted(path for path in beside if path.suffix in _DATA_SUFFIXES)
