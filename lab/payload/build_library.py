#!/usr/bin/env python3
"""Transformation of the demo's build job: a library that says how fine the histograms of the task are.

Runs on a worker node with the standard library alone, as `./build_library.py -o NAME.lib.tgz`.
"""

from __future__ import annotations

import argparse
import io
import json
import sys
import tarfile
from pathlib import Path

BINS = 120


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-o", "--output", type=Path, required=True)
    args = parser.parse_args()
    content = json.dumps({"bins": BINS}).encode()
    with tarfile.open(args.output, "w:gz") as archive:
        member = tarfile.TarInfo("binning.json")
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))
    print(f"{args.output}: histograms have {BINS} bins", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
