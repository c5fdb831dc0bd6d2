"""What the scripts of peers share: jobs in, answers out, and modules of a package without all that it imports.

A job is a JSON object a line on stdin. `documents` names a file with one JSON object a line, of which each `text` is
judged; or, with `field`, that value of it. `every` takes each k-th of them.
"""

import importlib.machinery
import importlib.util
import json
import sys
import time
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

Job = dict[str, Any]


def answer_jobs(do: Callable[[Job, list[str]], dict[str, Any]]) -> None:
    """Answer each job with what `do` makes of it and its documents, and with the CPU seconds that took."""

    def timed(job: Job) -> dict[str, Any]:
        documents = texts_of(job)
        began = time.process_time()
        answer = do(job, documents)
        answer["cpu_seconds"] = time.process_time() - began
        return answer

    answer_each(timed)


def answer_each(do: Callable[[Job], dict[str, Any]]) -> None:
    """Answer each job with what `do` makes of it."""
    for line in sys.stdin:
        sys.stdout.write(json.dumps(do(json.loads(line))) + "\n")
        sys.stdout.flush()


@cache
def _texts(path: str, field: str) -> list[str]:
    with Path(path).open(encoding="utf-8") as stream:
        return [json.loads(each)[field] for each in stream]


def texts_of(job: Job) -> list[str]:
    """The documents of a job; a file is read once."""
    return _texts(job["documents"], job.get("field", "text"))[:: job.get("every", 1)]


def without_own_imports(*packages: str, path: Sequence[str] | None = None) -> None:
    """Let modules of these packages be imported, but not what the packages' own `__init__` would import.

    Args:
        packages: outer ones first, such as "a", "a.b".
        path: where to look for the outermost; default: where Python does.
    """
    for name in packages:
        outer, _, last = name.rpartition(".")
        if outer:
            folders = [str(Path(folder) / last) for folder in sys.modules[outer].__path__]
        else:
            spec = importlib.machinery.PathFinder.find_spec(name, path)
            if spec is None or spec.submodule_search_locations is None:
                raise ModuleNotFoundError(f"no package {name}; run `make peers`")
            folders = list(spec.submodule_search_locations)
        package = ModuleType(name)
        package.__path__ = folders
        sys.modules[name] = package


def stand_in(module: str, *names: str) -> None:
    """Let a module that is not installed be imported; its names are None, so that to use one is an error."""
    if module not in sys.modules and importlib.util.find_spec(module) is None:
        sys.modules[module] = ModuleType(module)
        for name in names:
            setattr(sys.modules[module], name, None)
