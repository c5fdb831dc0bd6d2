"""What it takes to deduplicate a whole snapshot of Common Crawl, step by step, from what `bench_dedup.py` measured.

    python tests/benchmarks/bench_dedup.py --json figures.json
    python tests/benchmarks/dedup_costs.py figures.json [--documents N] [--bytes-per-document N] [--cores N]

prints the tables of `pipeline_lib/dedup/README.md`, which says where each formula comes from.
"""

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PERMUTATIONS, BANDS = 112, 14
FINGERPRINT_BYTES = 4 * PERMUTATIONS + 32 + 16 + 16 + 8 + 8 + 4  # a row of `fingerprints`, which hardly compresses
MEMORY_BYTES = 130  # a document, see `fingerprints.FLOOR_BYTES`
COMPRESSED = 0.4  # of text, by zstd
MACHINES = (1, 10, 100)
HOUR, GIGA = 3600.0, 1e9


@dataclass(frozen=True, kw_only=True)
class Rates:
    """Measured, of one core.

    Attributes:
        read, sign: bytes of text a second.
        band_seconds: for each document: its band keys, written and read, and who shares one.
        compare_seconds: for each byte of text, of candidates or not: sets of shingles of the candidates, written and
            read, and compared.
        scratch_bytes: for each byte of text, what those sets take in files.
    """

    read: float
    sign: float
    band_seconds: float
    compare_seconds: float
    scratch_bytes: float

    @classmethod
    def of(cls, figures: dict[str, Any]) -> "Rates":
        steps = figures["command"]["steps"]
        size, own = max(figures["bands"]["own"].items(), key=lambda each: int(each[0]))
        band_seconds = own["cpu_seconds"] / int(size)
        documents, text = steps["documents"], steps["text_bytes"]
        return cls(
            read=text / steps["reading"]["cpu_seconds"],
            sign=text / steps["signing"]["cpu_seconds"],
            band_seconds=band_seconds,
            compare_seconds=(steps["deciding"]["cpu_seconds"] - band_seconds * documents) / text,
            scratch_bytes=(steps["metrics"]["spilled_bytes"] - 8 * BANDS * documents) / text,
        )


@dataclass(frozen=True, kw_only=True)
class Step:
    """One line: seconds on a single machine, whether more machines help, and what it needs of each."""

    name: str
    cpu_seconds: float
    disk_bytes: float
    on_every_machine: bool
    one_thread: bool


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("figures", type=Path)
    parser.add_argument("--documents", type=float, default=1e9)
    parser.add_argument("--bytes-per-document", type=float, default=2860.0)
    parser.add_argument("--cores", type=int, default=16, help="of a machine")
    parser.add_argument("--disk", type=float, default=1.0, help="GB a second that a machine reads or writes")
    options = parser.parse_args()

    rates = Rates.of(json.loads(options.figures.read_text(encoding="utf-8")))
    documents = options.documents
    text = documents * options.bytes_per_document
    steps = [
        Step(
            name="sign: read the texts, write fingerprints",
            cpu_seconds=text / rates.read + text / rates.sign,
            disk_bytes=COMPRESSED * text + documents * FINGERPRINT_BYTES,
            on_every_machine=True,
            one_thread=False,
        ),
        Step(
            name="bands: read fingerprints, write and read band keys, unite",
            cpu_seconds=documents * rates.band_seconds,
            disk_bytes=documents * (FINGERPRINT_BYTES + 2 * 8 * BANDS),
            on_every_machine=False,
            one_thread=True,
        ),
        Step(
            name="verify: read the texts again, write and read shingles of candidates, compare",
            cpu_seconds=text / rates.read + text * rates.compare_seconds,
            disk_bytes=COMPRESSED * text + 2 * text * rates.scratch_bytes,
            on_every_machine=False,
            one_thread=False,
        ),
    ]
    print(f"{documents:,.0f} documents, {text / 1e12:.1f} TB of text; machines of {options.cores} cores")
    heads = " | ".join(f"hours, {count} machine{'s' * (count > 1)}" for count in MACHINES)
    print(f"\n| step | CPU hours | disk TB moved | {heads} |")
    print("|---|---|---|" + "---|" * len(MACHINES))
    totals = [0.0] * len(MACHINES)
    for step in steps:
        hours = [_hours(step, options.cores, options.disk * GIGA, count) for count in MACHINES]
        totals = [total + each for total, each in zip(totals, hours, strict=True)]
        cells = " | ".join(f"{each:.2f}" for each in hours)
        print(f"| {step.name} | {step.cpu_seconds / HOUR:.1f} | {step.disk_bytes / 1e12:.2f} | {cells} |")
    print("| all | | | " + " | ".join(f"{each:.2f}" for each in totals) + " |")
    print(f"\nmemory of the process that decides: {documents * MEMORY_BYTES / GIGA:.0f} GB")
    print(f"fingerprints in the store: {documents * FINGERPRINT_BYTES / GIGA:.0f} GB")
    print(f"scratch files: {(documents * 8 * BANDS + text * rates.scratch_bytes) / GIGA:.0f} GB")


def _hours(step: Step, cores: int, disk: float, machines: int) -> float:
    """CPU and disk work at the same time: the slower of the two counts."""
    used = machines if step.on_every_machine else 1
    threads = 1 if step.one_thread else cores
    return max(step.cpu_seconds / (threads * used), step.disk_bytes / (disk * used)) / HOUR


if __name__ == "__main__":
    main()
