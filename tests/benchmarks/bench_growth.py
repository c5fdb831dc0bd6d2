"""How the cost of a run grows with its crawl: CPU, memory and operations on the store, stage by stage, at 1x, 4x, 16x.

    python tests/benchmarks/bench_growth.py [--pages N] [--scales 1,4,16] [--goal corpus] [--json FILE]

needs ../shared/data. The crawl is a share of the mini crawl, and copies of it that are no duplicates: under other
addresses, and with the words of each page drawn anew, by a seeded generator, from those of the page. Each scale runs
in a process of its own, with one worker, which is a thread. CPU time is that of the process and of its children, which
read the pages; memory is that of the process alone. The machine code of the kernels is there before.

The exponent is the slope of log CPU over log size: 1 is linear. What it costs to begin makes small stages look better
than they are, so that slopes below 1 mean little; those above 1.1 are what to look for.
"""

import argparse
import contextlib
import json
import math
import os
import random
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

PROJECT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(PROJECT / "tests" / "support"))

from flows.compiled import keep_compiled_kernels  # noqa: E402

keep_compiled_kernels()

import psutil  # noqa: E402
from mini_crawl_pages import mini_crawl_pages  # noqa: E402

from flows.server import start_server, stop_server  # noqa: E402
from pipeline_lib.crawl.warc_writing import Capture, paths_list, warc_path, write_warc  # noqa: E402
from storage.store import Store  # noqa: E402

SHARED_DATA = PROJECT.parent / "shared" / "data"
CRAWL = "GROWTH-2026-00"
PAGES_PER_FILE = 50
MIN_SECONDS = 0.5  # of CPU: what takes less at the largest scale has no slope worth telling
_MARKUP = re.compile(r"(<(?:script|style)\b.*?</(?:script|style)>|<[^>]*>|&\w+;)", re.DOTALL | re.IGNORECASE)
_WORD = re.compile(r"\w{3,}")
_OPERATIONS = ("exists", "size", "read_bytes", "names", "remove", "publish", "publish_new", "open", "local_copy")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pages", type=int, default=200, help="pages at 1x  [default: 200]")
    parser.add_argument("--scales", default="1,4,16", help="sizes to run  [default: 1,4,16]")
    parser.add_argument("--goal", choices=["corpus", "tokens"], default="corpus", help="how far  [default: corpus]")
    parser.add_argument("--json", type=Path, help="write the figures here, too")
    parser.add_argument("--one", nargs=2, metavar=("PATHS", "STORE"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measure_run(*options.one, options.goal)))
        return
    scales = sorted({int(scale) for scale in options.scales.split(",")})
    with tempfile.TemporaryDirectory(prefix="gristmill-growth-") as folder:
        home = Path(folder) / "prefect"
        start_server(home, None)
        try:
            pages = base_pages(options.pages)
            run_scale(Path(folder) / "warm", pages[:20], 1, options.goal)  # compiles; its figures are not shown
            figures = {scale: run_scale(Path(folder) / str(scale), pages, scale, options.goal) for scale in scales}
        finally:
            stop_server(home)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1))
    print(table_of(figures, len(pages)))


def base_pages(number: int) -> list[tuple[str, str]]:
    """Every so many-th page of the mini crawl, so that all its sources are among them."""
    pages = list(mini_crawl_pages(SHARED_DATA))
    step = max(1, len(pages) // number)
    return pages[::step][:number]


def run_scale(folder: Path, pages: Sequence[tuple[str, str]], scale: int, goal: str) -> dict[str, Any]:
    """Write the crawl of one scale, run it in a new process, and return what it cost."""
    paths = write_crawl(folder, pages, scale)
    command = [sys.executable, __file__, "--goal", goal, "--one", str(paths), str(folder / "store")]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, cwd=PROJECT)
    shutil.rmtree(folder)
    figures: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    total = sum(stage["cpu_seconds"] for stage in figures.values())
    print(f"{scale}x: {len(pages) * scale:,} pages, {total:.1f} CPU seconds", file=sys.stderr)
    return figures


def write_crawl(folder: Path, pages: Sequence[tuple[str, str]], scale: int) -> Path:
    """WARC files with all pages, and with copies of them up to the scale; returns the list of their paths."""
    copies = iter_copies(pages, scale)
    paths = []
    for index in range(math.ceil(len(pages) * scale / PAGES_PER_FILE)):
        path = warc_path(CRAWL, index)
        paths.append(path)
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        captures = [next(copies) for _ in range(min(PAGES_PER_FILE, len(pages) * scale - index * PAGES_PER_FILE))]
        with target.open("wb") as stream:
            write_warc(stream, CRAWL, index, captures)
    listed = folder / "crawl-data" / CRAWL / "warc.paths.gz"
    listed.write_bytes(paths_list(paths))
    return listed


def iter_copies(pages: Sequence[tuple[str, str]], scale: int) -> Iterator[Capture]:
    for copy in range(scale):
        for number, (url, markup) in enumerate(pages):
            address = url
            if copy:
                parts = urlsplit(url)
                address = parts._replace(netloc=f"copy{copy}.{parts.netloc}").geturl()
                markup = other_words(markup, random.Random(f"{copy} {number}"))
            headers = (("Content-Type", "text/html; charset=utf-8"),)
            yield Capture(address, "200 OK", headers, markup.encode(errors="replace"))


def other_words(markup: str, rng: random.Random) -> str:
    """The page with every other of its longer words drawn from all of them: as long, as repetitive, in the same
    language, and no near-duplicate of any copy."""
    pieces = _MARKUP.split(markup)  # text and markup in turn
    words = [word for text in pieces[::2] for word in _WORD.findall(text)]
    if not words:
        return markup

    def drawn(found: "re.Match[str]") -> str:
        return rng.choice(words) if rng.random() < 0.5 else found[0]

    pieces[::2] = [_WORD.sub(drawn, text) for text in pieces[::2]]
    return "".join(pieces)


def measure_run(paths: str, store_url: str, goal: str) -> dict[str, dict[str, float]]:
    """Run a recipe in this process; by stage what it cost, from the end of the stage before to its own."""
    from flows.end_to_end import end_to_end, thread_runner
    from flows.recipe import load_recipe
    from flows.session import RunSettings, Session
    from storage.manifests import Manifest
    from storage.runs import StageOutcome

    operations: Counter[str] = Counter()
    for name in _OPERATIONS:
        setattr(Store, name, _counted(getattr(Store, name), operations))
    figures: dict[str, dict[str, float]] = {}
    record = Session.record
    cpu, wall = _cpu_seconds(), time.perf_counter()
    _forget_peak()

    def measured(session: Session, outcome: StageOutcome, manifest: Manifest) -> None:
        nonlocal cpu, wall
        record(session, outcome, manifest)
        figures[outcome.name] = {
            "cpu_seconds": _cpu_seconds() - cpu,
            "wall_seconds": time.perf_counter() - wall,
            "peak_megabytes": _peak_megabytes(),
            "operations": operations.total(),
            "parts": len(session.store.names(f"{outcome.address.folder}/parts")),
        }
        operations.clear()
        _forget_peak()
        cpu, wall = _cpu_seconds(), time.perf_counter()

    Session.record = measured  # type: ignore[method-assign]
    overrides = [f"source.paths={paths}", f"goal={goal}", "tokenizer.vocab_size=4000"]
    flow = end_to_end.with_options(task_runner=thread_runner(1))
    flow(load_recipe("minicrawl", overrides), RunSettings(store_url=store_url, runner="threads", workers=1))
    return figures


def _counted(method: Callable[..., Any], operations: Counter[str]) -> Callable[..., Any]:
    def counted(*arguments: Any, **more: Any) -> Any:
        operations[method.__name__] += 1
        return method(*arguments, **more)

    return counted


def _cpu_seconds() -> float:
    """Of this process, of its children that have ended, and of those that live."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = time.process_time() + ended.ru_utime + ended.ru_stime
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            times = child.cpu_times()
            seconds += times.user + times.system
    return seconds


def _forget_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")


def _peak_megabytes() -> float:
    status = Path("/proc/self/status").read_text()
    return int(re.findall(r"VmHWM:\s+(\d+)", status)[0]) * 1024 / 1e6


def table_of(figures: dict[int, dict[str, dict[str, float]]], pages: int) -> str:
    """A line a stage: CPU, peak memory and store operations at each scale, and the exponents."""
    scales = list(figures)
    head = f"{'stage':<14}" + "".join(f"{f'CPU s {scale}x':>11}" for scale in scales) + f"{'exponent':>10}"
    head += "".join(f"{f'MB {scale}x':>9}" for scale in scales)
    head += "".join(f"{f'ops {scale}x':>10}" for scale in scales) + f"{'exponent':>10}"
    lines = [f"{pages:,} pages at 1x, {PAGES_PER_FILE} to a file", head]
    stages = {name: [figures[scale][name] for scale in scales] for name in figures[scales[-1]]}
    for name, rows in stages.items():
        lines.append(_line(name, scales, rows))
    total = [
        {key: combine(rows[i][key] for rows in stages.values()) for key, combine in _TOTALS.items()}
        for i in range(len(scales))
    ]
    return "\n".join([*lines, _line("all", scales, total)])


_TOTALS: dict[str, Callable[..., float]] = {"cpu_seconds": sum, "peak_megabytes": max, "operations": sum}


def _line(name: str, scales: Sequence[int], rows: Sequence[dict[str, float]]) -> str:
    cpu = [row["cpu_seconds"] for row in rows]
    operations = [row["operations"] for row in rows]
    line = f"{name:<14}" + "".join(f"{value:>11.2f}" for value in cpu)
    line += f"{f'{exponent(scales, cpu):.2f}' if cpu[-1] >= MIN_SECONDS else '-':>10}"
    line += "".join(f"{row['peak_megabytes']:>9.0f}" for row in rows)
    return line + "".join(f"{value:>10.0f}" for value in operations) + f"{exponent(scales, operations):>10.2f}"


def exponent(sizes: Sequence[float], costs: Sequence[float]) -> float:
    """Slope of the line of least squares through the logarithms; 0 for one size."""
    xs, ys = [math.log(size) for size in sizes], [math.log(max(cost, 1e-9)) for cost in costs]
    x, y = sum(xs) / len(xs), sum(ys) / len(ys)
    spread = sum((each - x) ** 2 for each in xs)
    return sum((a - x) * (b - y) for a, b in zip(xs, ys, strict=True)) / spread if spread else 0.0


if __name__ == "__main__":
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    main()
