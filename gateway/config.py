"""What an installation chooses of the gateway."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class GatewayConfig:
    """Where it listens, where it keeps sandboxes, who says who a caller is.

    `needed_schema` is the schema version below which it is not ready.
    """

    host: str
    port: int
    cache_dir: Path
    identity_provider: str = "trusted_loopback"
    needed_schema: str = ""
