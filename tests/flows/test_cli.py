"""The command: wrong requests are refused before work, with exit code 2 and what would do."""

import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from flows.cli import main


def in_a_process(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "flows.cli", *arguments], capture_output=True, text=True, check=False)


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
def test_a_wrong_request_is_refused_with_code_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], complaint: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OMP_WAIT_POLICY", "PASSIVE")  # as `run` would, but not for the tests after this one
    done = CliRunner().invoke(main, arguments)
    assert isinstance(done.exception, SystemExit), done.exception
    assert done.exit_code == 2, done.stderr
    assert complaint in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.rglob("stages"))


def test_a_process_ends_with_that_code_and_one_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = in_a_process("run", "nonesuch")
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("gristmill: no recipe 'nonesuch'")
    assert "Traceback" not in done.stderr


def test_recipe_prints_what_can_be_run_again(tmp_path: Path) -> None:
    printed = in_a_process("recipe", "demo")
    assert printed.returncode == 0, printed.stderr
    path = tmp_path / "mine.yaml"
    path.write_text(printed.stdout)
    again = CliRunner().invoke(main, ["recipe", str(path)])
    assert again.exit_code == 0, again.stderr
    assert again.stdout == printed.stdout
    assert "threshold: 0.8" in printed.stdout
