#!/usr/bin/env python3
"""Transformation of the demo: the invariant-mass spectrum of opposite-charge muon pairs in a file.

Runs on a worker node with the standard library alone, as `./pair_mass.py -i EVENTS.csv -o SPECTRUM.json`; a library,
as build_library.py makes it, says how fine the histogram is.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import sys
import tarfile
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path

Row = dict[str, str]
LOW, HIGH, BINS = 0.0, 120.0, 60


def pair_masses(rows: Iterable[Row]) -> Iterator[float]:
    """The mass in GeV of every mu+ mu- pair of every event; rows of one event are neighbours."""
    for _, event in groupby(rows, key=lambda row: row["event"]):
        particles = list(event)
        positive = [four_vector(row) for row in particles if row["particle"] == "mu+"]
        negative = [four_vector(row) for row in particles if row["particle"] == "mu-"]
        for first in positive:
            for second in negative:
                px, py, pz, energy = (a + b for a, b in zip(first, second, strict=True))
                yield math.sqrt(max(energy**2 - px**2 - py**2 - pz**2, 0.0))


def four_vector(row: Row) -> tuple[float, float, float, float]:
    """Momentum and energy of one particle."""
    return float(row["px"]), float(row["py"]), float(row["pz"]), float(row["E"])


def bins_of(library: Path | None) -> int:
    """How many bins the histogram has."""
    if library is None:
        return BINS
    with tarfile.open(library) as archive:
        member = archive.extractfile("binning.json")
        return int(json.load(member)["bins"]) if member else BINS


def spectrum(masses: list[float], bins: int) -> dict[str, object]:
    """Histogram, and mean and width of what lies in the window of the Z boson."""
    width = (HIGH - LOW) / bins
    counts = [0] * bins
    for mass in masses:
        if LOW <= mass < HIGH:
            counts[int((mass - LOW) / width)] += 1
    window = [mass for mass in masses if 80.0 < mass < 102.0]
    mean = sum(window) / len(window) if window else 0.0
    variance = sum((mass - mean) ** 2 for mass in window) / len(window) if window else 0.0
    return {
        "pairs": len(masses),
        "low_gev": LOW,
        "bin_width_gev": width,
        "counts": counts,
        "z_candidates": len(window),
        "z_mean_gev": round(mean, 4),
        "z_width_gev": round(math.sqrt(variance), 4),
    }


def main() -> int:
    """Command line; `--fail N` makes the payload end with exit code N, as a broken one would."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-i", "--input", type=Path, required=True)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--library", type=Path, help="what build_library.py made")
    parser.add_argument("--fail", type=int, default=0, metavar="N")
    args = parser.parse_args()
    with args.input.open(newline="") as stream:
        result = spectrum(list(pair_masses(csv.DictReader(stream))), bins_of(args.library))
    print(f"{args.input}: {result['pairs']} pairs, {result['z_candidates']} Z candidates", flush=True)
    if args.fail:
        print(f"ending with exit code {args.fail}, as asked", file=sys.stderr)
        return int(args.fail)
    args.output.write_text(json.dumps(result, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
