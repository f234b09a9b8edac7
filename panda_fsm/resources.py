"""Resource types: classes of jobs by cores and memory, which pilots are sent for (docs/dialect.md)."""

from dataclasses import dataclass

ANY_CORES = 8
"""What a job counts as that takes any number of cores (0)."""


@dataclass(frozen=True, slots=True)
class ResourceType:
    """Bounds, both included; None is no bound. Memory in MB a core."""

    name: str
    min_cores: int
    max_cores: int | None
    min_ram_per_core: int | None
    max_ram_per_core: int | None

    def fits(self, cores: int, ram_per_core: int) -> bool:
        """Whether a job is of this type."""
        few = self.max_cores is None or cores <= self.max_cores
        enough = self.min_ram_per_core is None or ram_per_core >= self.min_ram_per_core
        modest = self.max_ram_per_core is None or ram_per_core <= self.max_ram_per_core
        return cores >= self.min_cores and few and enough and modest


RESOURCE_TYPES = (
    ResourceType("SCORE", 1, 1, None, 2000),
    ResourceType("MCORE", 2, None, None, 2000),
    ResourceType("SCORE_HIMEM", 1, 1, 2001, None),
    ResourceType("MCORE_HIMEM", 2, None, 2001, None),
)


def resource_type(core_count: int, min_ram: int) -> str:
    """The type of a job that was submitted without one."""
    cores = core_count or ANY_CORES
    ram_per_core = round(min_ram / cores)
    return next(one.name for one in RESOURCE_TYPES if one.fits(cores, ram_per_core))
