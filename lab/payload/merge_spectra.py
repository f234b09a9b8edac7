#!/usr/bin/env python3
"""Transformation of the demo's merge job: one spectrum of many.

Runs on a worker node with the standard library alone, as `./merge_spectra.py -o MERGED.json PART.json PART.json`.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any


def merged(parts: list[dict[str, Any]]) -> dict[str, Any]:
    """The sum of histograms with the same bins."""
    total = {name: parts[0][name] for name in ("low_gev", "bin_width_gev")}
    total["pairs"] = sum(part["pairs"] for part in parts)
    total["z_candidates"] = sum(part["z_candidates"] for part in parts)
    total["counts"] = [sum(counts) for counts in zip(*(part["counts"] for part in parts), strict=True)]
    return total


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("parts", type=Path, nargs="+")
    args = parser.parse_args()
    result = merged([json.loads(part.read_text()) for part in args.parts])
    args.output.write_text(json.dumps(result, indent=1) + "\n")
    print(f"{args.output}: {result['pairs']} pairs of {len(args.parts)} parts", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
