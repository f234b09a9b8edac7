"""What may be asked of a run of the benchmark."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Wishes:
    """What may be asked of a run: `quick` does a tenth of the work; `minutes` and `rate` are about steady load,
    `archived` and `viewers` about the dashboards."""

    quick: bool = False
    minutes: float | None = None
    rate: float | None = None
    archived: int | None = None
    viewers: int = 10
