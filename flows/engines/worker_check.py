"""Whether a worker somewhere would make the same bytes as the run's own process, and sees the run's store.

Code and libraries have to be installed on workers: nothing of them is sent. Every worker is looked at before its first
part, also one that joins later.
"""

import hashlib
import platform
import socket
import threading
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from flows.engines.failures import WrongWorker
from storage.environment import library_versions
from storage.store import Store

# Those whose version shapes an output: what the stages name, all of them together.
SHAPING_LIBRARIES = (
    "chardet",
    "docutils",
    "fastwarc",
    "jinja2",
    "lxml",
    "markdown-it-py",
    "numba",
    "numpy",
    "polars",
    "py3langid",
    "pyarrow",
    "resiliparse",
    "sentencepiece",
    "tldextract",
    "tokenizers",
    "torch",
    "trafilatura",
    "warcio",
)
_PACKAGES = ("flows", "model", "pipeline_lib", "storage")


@dataclass(frozen=True, kw_only=True)
class Installation:
    """What has to be the same wherever parts are worked on."""

    python: str
    machine: str
    code: str  # SHA-256 of all files of our packages
    libraries: tuple[tuple[str, str], ...]


@dataclass(frozen=True, kw_only=True)
class Expectations:
    """What a run expects of its workers.

    Attributes:
        marker: a file that the run published in its store.
    """

    installation: Installation
    store_url: str
    marker: str


@cache
def this_installation() -> Installation:
    return Installation(
        python=platform.python_version(),
        machine=platform.machine(),
        code=_code_digest(),
        libraries=tuple(library_versions(SHAPING_LIBRARIES).items()),
    )


_met: set[Expectations] = set()
_lock = threading.Lock()


def check_worker(expected: Expectations) -> str:
    """Check the process that this is called in, the first time that it is; returns its host.

    Raises:
        WrongWorker: something differs.
    """
    with _lock:
        if expected not in _met:
            place = f"a worker on {socket.gethostname()}"
            _check_installation(expected.installation, place)
            _check_store(expected, place)
            _met.add(expected)
    return socket.gethostname()


def _check_installation(expected: Installation, place: str) -> None:
    here = this_installation()
    differences = [
        f"{name} {ours[:12]} where the run has {theirs[:12]}"
        for name, ours, theirs in (
            ("Python", here.python, expected.python),
            ("a processor", here.machine, expected.machine),
            ("gristmill's code", here.code, expected.code),
        )
        if ours != theirs
    ]
    wanted = dict(expected.libraries)
    differences += [
        f"{name} {version} where the run has {wanted.get(name, 'absent')}"
        for name, version in here.libraries
        if version != wanted.get(name, "absent")
    ]
    if differences:
        raise WrongWorker(
            f"{place} has {', '.join(differences)}: it might make other bytes. Install the same gristmill and "
            "libraries on all workers, for instance from one container image"
        )


def _check_store(expected: Expectations, place: str) -> None:
    try:
        store = Store(expected.store_url)
        if store.exists(expected.marker):
            store.check_writable()
            return
        found = f"{store.full_path(expected.marker)}, which the run published, is not there"
    except Exception as error:  # noqa: BLE001 (file systems raise what they like; it is told, not hidden)
        found = f"{type(error).__name__}: {error}"
    raise WrongWorker(
        f"{place} does not see the store {expected.store_url}: {found}. A store has to be at the same address for "
        "the run and all workers: an object store such as s3://bucket/path, or a folder that all hosts mount at the "
        "same path"
    )


def _code_digest() -> str:
    digest = hashlib.sha256()
    for package in _PACKAGES:
        spec = find_spec(package)
        if spec is None or spec.origin is None:
            raise WrongWorker(f"{socket.gethostname()} lacks the package {package}: is gristmill installed there?")
        root = Path(spec.origin).parent
        for path in sorted(root.rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                digest.update(f"{package}/{path.relative_to(root).as_posix()}\n".encode())
                digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()
