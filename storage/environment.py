"""What a run ran on: recorded beside every result, and never part of one."""

import os
import platform
import subprocess
import sys
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from typing import Any

_PROJECT = Path(__file__).resolve().parent.parent


def describe_environment(libraries: Iterable[str]) -> dict[str, Any]:
    """Python, library versions, the project's git commit and whether its tree was dirty, processor, memory."""
    commit, dirty = _git_state(_PROJECT)
    return {
        "python": platform.python_version(),
        "implementation": sys.implementation.name,
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "processor": _processor_name(),
        "cores": os.cpu_count(),
        "memory_bytes": _memory_bytes(),
        "git_commit": commit,
        "git_dirty": dirty,
        "libraries": library_versions(libraries),
    }


def library_versions(libraries: Iterable[str]) -> dict[str, str]:
    """Installed version of each distribution, sorted by name; `absent` where it is not installed."""
    versions = {}
    for library in sorted(libraries):
        try:
            versions[library] = metadata.version(library)
        except metadata.PackageNotFoundError:
            versions[library] = "absent"
    return versions


def _git_state(folder: Path) -> tuple[str | None, bool | None]:
    """Commit and dirtiness of the checkout, or (None, None) where the project is installed without one."""
    if not (folder / ".git").exists():
        return None, None
    try:
        commit = _git(folder, "rev-parse", "HEAD")
        return commit, bool(_git(folder, "status", "--porcelain"))
    except (OSError, subprocess.SubprocessError):
        return None, None


def _git(folder: Path, *arguments: str) -> str:
    finished = subprocess.run(
        ["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=True, timeout=10
    )
    return finished.stdout.strip()


def _processor_name() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _memory_bytes() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):
        return None
