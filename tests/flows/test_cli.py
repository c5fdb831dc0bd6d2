"""The command: wrong requests are refused before work, with exit code 2 and what would do."""

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["run", "nonesuch"], "no recipe 'nonesuch'"),
        (["run", "demo", "--set", "dedup.treshold=1"], "did you mean 'dedup.threshold'"),
        (["run", "minicrawl"], "no WARC file is named"),
        (["run", "minicrawl", "--set", "source.paths=missing.warc.gz"], "missing.warc.gz"),
        (["show", "nonesuch"], "no runs in"),
        (["why", "https://example.invalid/"], "no runs in"),
        (["generate", "latest", "Hello"], "no runs in"),
        (["run", "demo", "--workers", "0"], "--workers"),
        (["run", "demo", "--store", "nonesuch://bucket/x"], "nonesuch"),
        (["run", "demo", "--store", "/proc/nowhere"], "/proc/nowhere"),
    ],
)
def test_a_wrong_request_is_refused_with_code_2(tmp_path: Path, arguments: list[str], complaint: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "flows.cli", *arguments], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2, done.stderr
    assert complaint in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.rglob("stages"))


def test_recipe_prints_what_can_be_run_again(tmp_path: Path) -> None:
    printed = subprocess.run(
        [sys.executable, "-m", "flows.cli", "recipe", "demo"], capture_output=True, text=True, check=True
    ).stdout
    path = tmp_path / "mine.yaml"
    path.write_text(printed)
    again = subprocess.run(
        [sys.executable, "-m", "flows.cli", "recipe", str(path)], capture_output=True, text=True, check=True
    ).stdout
    assert again == printed
    assert "threshold: 0.8" in printed
