"""What it costs to run many parts, beside the work on them: CPU time of the run's own process and of Prefect's server.

A run over N small files of text, to a corpus, on two worker processes, beside one over a single file: what the second
takes is start-up. The work itself is what the parts' records say that it took (`flows.part_usage`).

    python tests/benchmarks/bench_scheduler.py --parts 1000
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "support"))

from tiny_crawl import english_sentences, paragraphs_of

from flows.server import start_server, stop_server

DOCUMENTS_PER_PART = 4


@dataclass(frozen=True, kw_only=True)
class Cost:
    """CPU seconds of one run. `parts`: of all stages together."""

    client: float
    server: float
    work: float
    parts: int
    seconds: float


def write_parts(folder: Path, num_parts: int) -> None:
    folder.mkdir()
    rng = random.Random(3)
    sentences = english_sentences()
    for number in range(num_parts):
        rows = [
            {"id": f"{number}-{row}", "text": "\n\n".join(paragraphs_of(rng, sentences))}
            for row in range(DOCUMENTS_PER_PART)
        ]
        (folder / f"{number:05d}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def cost_of(root: Path, texts: Path, api_url: str, server: psutil.Process) -> Cost:
    store = root / f"store-{texts.name}"
    recipe = root / f"{texts.name}.yaml"
    recipe.write_text(f"goal: corpus\nsource: {{kind: texts, texts: [{texts}]}}\ntracking: []\n")
    before, began = _cpu(server), time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", "flows.cli", "run", str(recipe), "--store", str(store), "--workers", "2"],
        env={**os.environ, "PREFECT_API_URL": api_url},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    watched = psutil.Process(process.pid)
    client = 0.0
    while process.poll() is None:
        try:
            client = sum(watched.cpu_times()[:2])
        except psutil.Error:
            break
        time.sleep(0.1)
    _, said = process.communicate()
    if process.returncode:
        raise SystemExit(said)
    manifests = [json.loads(path.read_text()) for path in store.glob("stages/*/*/manifest.json")]
    records = [part for manifest in manifests for part in manifest["parts"]]
    return Cost(
        client=client,
        server=_cpu(server) - before,
        work=sum(part["metrics"]["usage"]["cpu_seconds"] or 0.0 for part in records),
        parts=len(records),
        seconds=time.monotonic() - began,
    )


def _cpu(process: psutil.Process) -> float:
    return float(sum(process.cpu_times()[:2]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--parts", type=int, default=1000)
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-scheduler-") as folder:
        root = Path(folder)
        home = root / "prefect"
        started = start_server(home, None)
        try:
            server = psutil.Process(int((home / "server.pid").read_text()))
            costs = []
            for num_parts in (2, wanted.parts):
                texts = root / f"texts-{num_parts}"
                write_parts(texts, num_parts)
                costs.append(cost_of(root, texts, started.api_url, server))
        finally:
            stop_server(home)
    small, large = costs
    more = large.parts - small.parts
    client, waiter = (large.client - small.client) / more, (large.server - small.server) / more
    print(f"{large.parts:,} parts in {large.seconds:.0f} s: client {large.client:.1f} CPU s, server {large.server:.1f}")
    each = 1000 * large.work / large.parts
    print(f"work {large.work:.1f} CPU s, {each:.1f} ms a part; start-up {small.client:.1f} CPU s")
    print(f"a part costs {1000 * client:.2f} ms in the run's process and {1000 * waiter:.2f} ms in the server")
    overhead = client + waiter
    for part_seconds in (large.work / large.parts, 0.1, 1.0, 10.0):
        print(f"  parts of {part_seconds:8.3f} s: overhead {100 * overhead / (overhead + part_seconds):.2f} %")
    print(f"3 % at parts of {overhead * 97 / 3:.2f} s")


if __name__ == "__main__":
    main()
