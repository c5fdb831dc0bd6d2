"""`crawls` against a real server on the loopback interface."""

import json
from pathlib import Path

from click.testing import CliRunner
from crawl_index import served

from flows.cli import main

LISTED = [
    {"id": "CC-MAIN-2025-30", "name": "July 2025 Index", "from": "2025-07-07T18:36:38", "to": "2025-07-20T20:56:29"},
    {"id": "CC-MAIN-2025-33", "name": "August 2025 Index", "from": "2025-08-02T22:09:07", "to": "2025-08-15T23:42:38"},
    {"id": "CC-MAIN-2012", "name": "2012 ARC Files Index"},
]


def test_crawls_lists_what_the_server_has_newest_first(tmp_path: Path) -> None:
    (tmp_path / "list.json").write_text(json.dumps(LISTED))
    with served(tmp_path) as address:
        done = CliRunner().invoke(main, ["crawls", "--index-server", f"{address}/list.json"])
        as_json = CliRunner().invoke(main, ["crawls", "--json", "--index-server", f"{address}/list.json"])
    assert done.exit_code == as_json.exit_code == 0
    assert done.stdout.splitlines() == [
        "CC-MAIN-2025-33  2025-08-02 to 2025-08-15  August 2025 Index",
        "CC-MAIN-2025-30  2025-07-07 to 2025-07-20  July 2025 Index",
        "CC-MAIN-2012     ?          to ?           2012 ARC Files Index",
    ]
    assert json.loads(as_json.stdout)["crawls"][0] == {
        "id": "CC-MAIN-2025-33",
        "name": "August 2025 Index",
        "from": "2025-08-02T22:09:07",
        "to": "2025-08-15T23:42:38",
    }


def test_crawls_says_which_server_it_could_not_reach_and_what_to_do() -> None:
    done = CliRunner().invoke(main, ["crawls", "--index-server", "http://127.0.0.1:9"])
    assert done.exit_code == 2
    assert "127.0.0.1:9" in done.stderr
    assert "--index-server" in done.stderr
    assert not done.stdout
