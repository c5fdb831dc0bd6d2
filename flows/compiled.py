"""Where compiled kernels are kept between runs: a folder for each state of their sources.

Numba's own cache looks only at the file that a kernel is in, not at those it calls into: after a change in one of
these, old machine code would run under a new stage key. Nothing here imports numba: it reads its settings once.
"""

import hashlib
import os
from importlib.util import find_spec
from pathlib import Path

_VARIABLE = "NUMBA_CACHE_DIR"


def keep_compiled_kernels(folder: Path) -> None:
    """Have numba keep machine code below `folder`, unless the environment already says where. Workers inherit it."""
    os.environ.setdefault(_VARIABLE, str(folder / f"kernels-{_source_digest()}"))


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
