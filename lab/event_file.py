"""Seeded files of particle events: Z bosons that decay to muons above a background of chance pairs."""

from __future__ import annotations

import csv
import io
import math
import random
from collections.abc import Iterator

Particle = tuple[str, float, float, float, float]

HEADER = ("event", "particle", "px", "py", "pz", "E")
EVENTS = 2000
MUON_MASS, PION_MASS, Z_MASS, Z_WIDTH = 0.10566, 0.13957, 91.1876, 2.4952


def event_file(seed: int, events: int = EVENTS) -> bytes:
    """CSV of particles in GeV; the same seed gives the same bytes."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(HEADER)
    generator = random.Random(seed)
    for event in range(1, events + 1):
        for particle, *vector in _event(generator):
            writer.writerow((event, particle, *(f"{value:.5f}" for value in vector)))
    return text.getvalue().encode()


def _event(generator: random.Random) -> Iterator[Particle]:
    """A Z decay in a third of the events, a chance pair in the rest, and some pions."""
    if generator.random() < 1 / 3:
        yield from _z_decay(generator)
    else:
        yield _particle(generator, "mu+", MUON_MASS, mean_pt=12.0)
        yield _particle(generator, "mu-", MUON_MASS, mean_pt=12.0)
    for _ in range(generator.randrange(4)):
        yield _particle(generator, generator.choice(("pi+", "pi-")), PION_MASS, mean_pt=4.0)


def _particle(generator: random.Random, name: str, mass: float, mean_pt: float) -> Particle:
    """One particle of exponential transverse momentum and flat direction."""
    pt = generator.expovariate(1 / mean_pt) + 0.5
    phi, eta = generator.uniform(-math.pi, math.pi), generator.uniform(-2.5, 2.5)
    px, py, pz = pt * math.cos(phi), pt * math.sin(phi), pt * math.sinh(eta)
    return name, px, py, pz, math.sqrt(px**2 + py**2 + pz**2 + mass**2)


def _z_decay(generator: random.Random) -> Iterator[Particle]:
    """Muons back to back in the frame of a Z of Breit-Wigner mass that flies along the beam."""
    offset = math.tan(math.pi * (generator.random() - 0.5)) * Z_WIDTH / 2
    mass = Z_MASS + max(-25.0, min(25.0, offset))
    momentum = math.sqrt(mass**2 / 4 - MUON_MASS**2)
    cos_theta, phi = generator.uniform(-1, 1), generator.uniform(-math.pi, math.pi)
    across = momentum * math.sqrt(1 - cos_theta**2)
    rapidity = generator.gauss(0, 0.8)
    for name, sign in (("mu+", 1), ("mu-", -1)):
        px, py = sign * across * math.cos(phi), sign * across * math.sin(phi)
        along, energy = sign * momentum * cos_theta, mass / 2
        pz = along * math.cosh(rapidity) + energy * math.sinh(rapidity)
        yield name, px, py, pz, energy * math.cosh(rapidity) + along * math.sinh(rapidity)
