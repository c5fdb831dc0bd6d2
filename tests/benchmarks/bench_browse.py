"""How long `gristmill browse` takes with a million documents, and its memory; and the report page of the same run.

    python tests/benchmarks/bench_browse.py [--documents N] [--rounds N]

The run is made of a few words (`large_run`) and kept in `.bench/` for the next time (0.4 GB a million, two minutes).
Times are those that a client waits, with the server's CPU time beside them: on a busy machine only that compares.
"""

import argparse
import os
import re
import statistics
import subprocess
import sys
import time
from html import unescape
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(PROJECT / "tests" / "support"))

from flows.compiled import keep_compiled_kernels  # noqa: E402

keep_compiled_kernels()

import httpx  # noqa: E402
import psutil  # noqa: E402
from large_run import publish_large_run  # noqa: E402

from flows.code_digest import code_digest  # noqa: E402
from pipeline_lib.report.parameters import ReportParameters  # noqa: E402
from pipeline_lib.report.stage import report_part  # noqa: E402
from storage.manifests import Part, PartWriter, StageAddress, open_stage  # noqa: E402
from storage.runs import find_run  # noqa: E402
from storage.store import Store  # noqa: E402

PAGES = {
    "first page": "/",
    "page 10,000": "/?page=10000",
    "mixed order": "/?order=mixed&page={round}",
    "filter by stage": "/?fate=judge&page={round}",
    "three filters": "/?fate=dropped&language=de&edited=any&page={round}",
    "search in titles and URLs": "/?q=host-{round}7.test",
    "search in texts, to the bound": "/?q=nonesuchword{round}&in=text",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    folder = PROJECT / ".bench" / f"browse-{options.documents}-{code_digest(['pipeline_lib.corpus.stage'])[:16]}"
    if not (folder / "runs").exists():
        publish_large_run(Store(str(folder)), options.documents)
    browse(folder, options.rounds)
    report(folder)


def browse(folder: Path, rounds: int) -> None:
    began = time.perf_counter()
    command = [sys.executable, "-m", "flows.cli", "browse", "latest", "--port", "0", "--store", str(folder)]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment, cwd=PROJECT) as process:
        assert process.stdout is not None
        told = process.stdout.readline()
        server = psutil.Process(process.pid)
        cpu = sum(server.cpu_times()[:2])
        print(f"{told.strip()}\nstart {time.perf_counter() - began:.1f} s, {cpu:.1f} CPU s, {megabytes(server)}")
        (address,) = re.findall(r"http://\S+(?=/)", told)
        with httpx.Client(base_url=address, timeout=120) as client:
            documents = re.findall(r'href="(/documents/[^"]+)"', client.get("/?fate=dedup:near_duplicate").text)
            client.get(unescape(documents[-1]))  # loads the kernels
            asked = {
                name: [path.format(round=number) for number in range(1, rounds + 1)] for name, path in PAGES.items()
            }
            asked["a near-duplicate beside the kept one"] = [unescape(each) for each in documents[:rounds]]
            for name, paths in asked.items():
                told_times(name, client, server, paths)
        print(f"at the end {megabytes(server)}")
        process.terminate()


def told_times(name: str, client: httpx.Client, server: psutil.Process, paths: list[str]) -> None:
    seconds, cpu_seconds, sizes = [], [], []
    for path in paths:
        before, began = sum(server.cpu_times()[:2]), time.perf_counter()
        page = client.get(path).raise_for_status()
        seconds.append(time.perf_counter() - began)
        cpu_seconds.append(sum(server.cpu_times()[:2]) - before)
        sizes.append(len(page.content))
    print(
        f"{name:<40} {1000 * statistics.median(seconds):>7,.0f} ms  "
        f"{1000 * statistics.median(cpu_seconds):>7,.0f} CPU ms  {max(sizes) / 1000:>5.0f} kB"
    )


def megabytes(process: psutil.Process) -> str:
    return f"{process.memory_info().rss / 1e6:,.0f} MB resident"


def report(folder: Path) -> None:
    store = Store(str(folder))
    run = find_run(store, "latest")
    stages = {each.name: open_stage(store, each.address) for each in run.stages}
    writer = PartWriter(store=store, address=StageAddress(stage="report", key="bench"), part="all")
    began, cpu = time.perf_counter(), time.process_time()
    result = report_part(Part(name="all"), stages, writer, ReportParameters(), facts={"run_id": run.run_id})
    print(
        f"report page: {time.perf_counter() - began:.1f} s, {time.process_time() - cpu:.1f} CPU s, "
        f"{result.metrics['bytes'] / 1e6:.2f} MB, {megabytes(psutil.Process())}"
    )


if __name__ == "__main__":
    main()
