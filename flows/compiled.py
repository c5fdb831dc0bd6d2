"""Where compiled kernels are kept between runs: a folder for each state of their sources.

Numba's own cache looks only at the file that a kernel is in, not at those it calls into: after a change in one of
these, old machine code would run under a new stage key. Nothing here imports numba: it reads its settings once.
"""

import hashlib
import os
import tempfile
from importlib.util import find_spec
from pathlib import Path

_VARIABLE = "NUMBA_CACHE_DIR"


def keep_compiled_kernels() -> None:
    """Have numba keep machine code in the user's cache folder, for all stores; workers inherit the setting.

    Where the environment names a folder already, that one is used.
    """
    if _VARIABLE in os.environ:
        return
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = caches / "gristmill" / f"kernels-{_source_digest()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:  # a home that cannot be written, as services have
        folder = Path(tempfile.gettempdir()) / f"gristmill-{os.getuid()}" / folder.name
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.environ[_VARIABLE] = str(folder)


def _source_digest() -> str:
    """Of all our sources that are compiled or may be called by what is."""
    spec = find_spec("pipeline_lib")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("pipeline_lib is not installed: run `make run`, or pip install the project")
    digest = hashlib.sha256()
    for path in sorted(Path(spec.origin).parent.rglob("*.py")):
        content = path.read_bytes()
        if b"numba" in content or "kernels" in path.parts:
            digest.update(f"{path.name}\n".encode())
            digest.update(content)
    return digest.hexdigest()[:16]
