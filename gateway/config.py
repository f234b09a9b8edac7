"""What an installation chooses of the gateway."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from gateway.access.submitting import PriorityLimits
from panda_fsm.jobs.names import NameCheck, any_name


@dataclass(frozen=True, slots=True)
class GatewayConfig:
    """Where it listens, where it keeps sandboxes, who says who a caller is.

    `needed_schema` is the schema version below which it is not ready. `describe_others`: what a job was told to do is
    read by everybody, not only by its owner and by production managers. `dashboard_read_only`: no form of a page does
    anything. `hosts`: names by which it may be called,
    beside the loopback ones and `host`. No more than `most_requests` wait at once, none longer than `longest_wait_s`;
    told to end it serves on for `drain_s`. `sandbox_quota`: bytes of sandboxes that one owner may have. `services`:
    what must be served beside it, so that what it accepts is done. `name_check`: what is no name for
    an output. `metrics`: what this process counted, as Prometheus reads it. `settings`: name, value and meaning of what
    is in force, as operators may see it. `access_log`: each request is a line of the log, but for those that look at
    our health; `log_steps`: each step of a job is one.
    """

    host: str
    port: int
    cache_dir: Path
    identity_provider: str = "trusted_loopback"
    needed_schema: str = ""
    priority_limits: PriorityLimits = field(default_factory=PriorityLimits)
    describe_others: bool = True
    dashboard_read_only: bool = False
    hosts: tuple[str, ...] = ()
    most_requests: int = 1000
    longest_wait_s: float = 15
    drain_s: float = 2
    sandbox_quota: int = 10 * 1024 * 1024 * 1024
    services: tuple[str, ...] = ()
    name_check: NameCheck = any_name
    metrics: Callable[[], bytes] = bytes
    settings: tuple[tuple[str, str, str], ...] = ()
    access_log: bool = False
    log_steps: bool = False
