"""Settings: one frozen model read from PANDA_FSM_* environment variables; wrong values fail at start."""

import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict
from pydantic_settings import SettingsError as NoJsonError

from panda_fsm.bindings import Further, jedi_bindings
from panda_fsm.errors import SettingsError
from panda_fsm.jobs.facts import FACTS, Limits, Replay, TableLimits
from panda_fsm.jobs.states import State
from panda_fsm.periods import Every, checked
from panda_fsm.views.stuck import Thresholds, complaint

Seconds = Annotated[int, Field(gt=0)]
Days = Annotated[int, Field(ge=1)]
Months = Annotated[int, Field(ge=0)]
Level = Annotated[
    Literal["debug", "info", "warning", "error"],
    BeforeValidator(lambda level: level.lower() if isinstance(level, str) else level),
]
_HTTP = r"^https?://[^\s]+$"
VO = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,100}$")]


def _listed(text: Any) -> Any:
    """Words with commas between them, as a list."""
    return [word for part in text.split(",") if (word := part.strip())] if isinstance(text, str) else text


class Settings(BaseSettings):
    """Every setting has a working default but the two addresses."""

    model_config = SettingsConfigDict(env_prefix="PANDA_FSM_", frozen=True, extra="ignore")

    database_url: str = Field(description="PostgreSQL address, postgresql://user:password@host:port/database")
    broker_url: str = Field(
        pattern="^amqps?://", description="RabbitMQ address, amqp://user:password@host:port/vhost; amqps:// for TLS"
    )
    gateway_host: str = Field("127.0.0.1", description="address the gateway listens on")
    gateway_port: int = Field(25080, ge=1, le=65535, description="port the gateway listens on")
    gateway_hosts: str = Field(
        "", description="further names by which the gateway may be called, with commas; loopback names always may be"
    )
    gateway_requests: int = Field(
        1000, ge=1, le=100_000, description="most requests that wait in one gateway process; more are sent away"
    )
    gateway_wait_s: float = Field(15, gt=0, description="a request that waits longer is told to come later, in seconds")
    gateway_drain_s: float = Field(
        2, ge=0, description="told to end, the gateway says that it is not ready and serves on so long, in seconds"
    )
    sites_file: Path | None = Field(
        None,
        description="JSON file of queues and storages: one source of information among others (docs/information.md)",
    )
    cric_storages_url: str | None = Field(None, pattern=_HTTP, description="DDM endpoints in the shape of CRIC")
    cric_sites_url: str | None = Field(None, pattern=_HTTP, description="sites in the shape of CRIC")
    cric_queues_url: str | None = Field(None, pattern=_HTTP, description="schedconfig of all queues, as CRIC has it")
    cric_network_url: str | None = Field(None, pattern=_HTTP, description="closeness or measurements of the network")
    configurator_removals_percent: float = Field(
        20, ge=0, le=100, description="a source that lacks more of the entries that it had is not followed"
    )
    cache_dir: Path = Field(Path(".run/cache"), description="where uploaded sandboxes are kept")
    sandbox_quota_mb: int = Field(10_240, ge=1, description="most megabytes of sandboxes that one user may have")
    identity_provider: str = Field("trusted_loopback", description="who says who a caller is")
    priority_limit: int = Field(4000, description="highest priority without the production role of the job's VO")
    priority_limits: dict[str, int] = Field(
        default_factory=dict, description='the same for single VOs, as JSON: {"vo": 5000}; unset: all alike'
    )
    describe_others: bool = Field(True, description="everybody reads parameters and files of everybody's jobs")
    dashboard_read_only: bool = Field(False, description="the dashboards show, and let nobody do anything")
    batch_size: int = Field(200, ge=1, le=5000, description="most deliveries in one transaction")
    batch_limit_s: float = Field(300, gt=0, description="a process whose batch takes longer is started again")
    plugin_timeout_s: float = Field(30, gt=0, description="an experiment's plugin that takes longer is asked later")
    statement_timeout_s: float = Field(30, gt=0, description="a slower SQL statement is cancelled, in seconds")
    database_pool: int = Field(
        8, ge=3, le=100,
        description="most database connections of one gateway process: one looks after it, a quarter is for people;"
        " the dashboards have two more",
    )  # fmt: skip
    confirm_timeout_s: float = Field(5, gt=0, description="wait for the broker's confirm, in seconds")
    relay_age_s: float = Field(
        6, gt=0, description="the relay publishes outbox rows older than this, in seconds; more than the confirm's wait"
    )
    deadlines: dict[State, Seconds] = Field(
        default_factory=dict,
        description='seconds all jobs may stay in a state, as JSON: {"sent": 600}; unset: the table',
    )
    reminders: dict[State, Seconds] = Field(
        default_factory=dict,
        description="seconds until the message of a state is said again, as JSON; unset: the table",
    )
    stuck: dict[str, dict[str, int]] = Field(
        default_factory=dict,
        description="seconds until a rule calls jobs stuck, by state, @site or state@site, as JSON:"
        ' {"sent_no_pilot": {"@SITE_B": 1800}}; unset: the table',
    )
    daemon_processes: int = Field(
        3, ge=1, le=64, description="duties that the daemon does at once on a machine, each in a process (n_proc)"
    )
    periods: dict[str, float | str] = Field(
        default_factory=dict,
        description="how often the daemon does a duty, seconds or a cron expression in UTC, as JSON:"
        ' {"flow": 10, "partitions": "30 3 * * *"}; unset: as `panda-fsm daemon status` says',
    )
    losses_per_s: float = Field(100, gt=0, description="most jobs a second that the daemon calls lost")
    archive_after_s: float = Field(600, ge=0, description="final jobs stay among the live ones this long, in seconds")
    retain_reports_days: Days = Field(
        30, description="pilots' final reports of ended jobs, and what pilots showed of them, are kept so many days"
    )
    retain_blocks_days: Days = Field(90, description="closed data blocks are kept so many days")
    retain_dead_letters_days: Days = Field(90, description="settled dead letters are kept so many days")
    retain_audit_days: Days = Field(365, description="who did what is kept so many days")
    retain_workers_days: Days = Field(30, description="workers and nodes not heard of so many days are forgotten")
    retain_jedi_days: Days = Field(90, description="a replay since a number knows JEDI's ended jobs of so many days")
    retain_sandboxes_days: Days = Field(30, description="uploaded sandboxes are kept so many days")
    retain_temporary_hours: int = Field(
        12, ge=1, description="temporary files, and uploads whose gateway died, are kept so many hours"
    )
    temporary_files: str = Field(
        "",
        description="temporary files of this machine, beside those of uploads: patterns of names in folders of ours,"
        " with colons between them, like `/var/tmp/panda/core.*`; each folder must be there",
    )
    history_months: Months = Field(0, description="months of job history that are kept; 0: all")
    archive_months: Months = Field(0, description="months of ended jobs that are kept; 0: all")
    sample_months: Months = Field(3, description="months of samples of how payloads did that are kept; 0: all")
    jedi_vos: Annotated[tuple[VO, ...], NoDecode, BeforeValidator(_listed)] = Field(
        (), description="VOs whose JEDI may connect before the first job of theirs, with commas"
    )
    jedi_shards: int = Field(4, ge=1, le=64, description="status queues of each VO; a task is always in the same one")
    metrics_port: int = Field(
        0, ge=0, le=65_000,
        description="each process beside the gateways shows metrics on the next free port from this one on; 0: none",
    )  # fmt: skip
    metrics_host: str = Field("127.0.0.1", description="address on which they do")
    otlp_endpoint: str = Field(
        "", pattern="^(https?://[^/]+.*)?$",
        description="URL of an OpenTelemetry collector, mostly with port 4318, that gets the spans of requests and"
        " messages (OTLP over HTTP); needs the extra `otel`; empty: nothing is traced",
    )  # fmt: skip
    log_level: Level = Field("info", description="debug, info, warning or error")
    log_steps: bool = Field(False, description="each step of a job is a line of the log")
    access_log: bool = Field(
        False, description="each request to a gateway is a line of the log, but for health checks and metrics"
    )
    log_json: bool = Field(True, description="log lines as JSON; false for people")
    log_files: str = Field(
        ".run/log/*.log",
        description="where `panda-fsm jobs show --logs` finds the lines about a job: patterns with colons between them",
    )

    @field_validator("deadlines")
    @classmethod
    def _can_end(cls, deadlines: Mapping[State, int]) -> Mapping[State, int]:
        for state in deadlines:
            if not FACTS[state].deadlines:
                raise ValueError(f"a job in {state} has no deadline")
        return deadlines

    @field_validator("reminders")
    @classmethod
    def _can_be_said(cls, reminders: Mapping[State, int]) -> Mapping[State, int]:
        for state in reminders:
            if not FACTS[state].deadlines or FACTS[state].replay is Replay.NOTHING:
                raise ValueError(f"nothing is said again of a job in {state}")
        return reminders

    @field_validator("temporary_files")
    @classmethod
    def _are_some_files(cls, patterns: str) -> str:
        for pattern in filter(None, patterns.split(":")):
            folder, _, name = pattern.rpartition("/")
            if not folder.startswith("/") or re.search(r"[*?[]", folder):
                raise ValueError(f"{pattern}: one folder, by its whole path, and then the names of files in it")
            if not re.search(r"\w", re.sub(r"\[.*?\]", "", name)):
                raise ValueError(f"{pattern}: would be any file of the folder: please say something of their names")
        return patterns

    @field_validator("stuck")
    @classmethod
    def _are_rules(cls, stuck: Mapping[str, Mapping[str, int]]) -> Mapping[str, Mapping[str, int]]:
        wrong = complaint(stuck)
        if wrong is not None:
            raise ValueError(wrong)
        return stuck

    @field_validator("periods")
    @classmethod
    def _are_periods(cls, periods: Mapping[str, Every]) -> Mapping[str, Every]:
        for name, every in periods.items():
            try:
                checked(every)
            except ValueError as error:
                raise ValueError(f"{name}: {error}") from None
        return periods

    @model_validator(mode="after")
    def _relay_comes_last(self) -> Self:
        """Else a slow broker gets everything twice: from the service that still waits, and from the relay."""
        if self.relay_age_s <= self.confirm_timeout_s:
            raise ValueError(
                f"PANDA_FSM_RELAY_AGE_S ({self.relay_age_s:g}) must exceed PANDA_FSM_CONFIRM_TIMEOUT_S"
                f" ({self.confirm_timeout_s:g}), or the relay publishes what is still being confirmed"
            )
        return self

    @model_validator(mode="after")
    def _sandboxes_are_not_temporary(self) -> Self:
        folders = {Path(pattern).parent.resolve() for pattern in self.temporary_files.split(":") if pattern}
        if self.cache_dir.resolve() in folders:
            raise ValueError(
                "PANDA_FSM_TEMPORARY_FILES names files in PANDA_FSM_CACHE_DIR: sandboxes have an age of their own,"
                " PANDA_FSM_RETAIN_SANDBOXES_DAYS"
            )
        return self

    def limits(self) -> Limits:
        """The deadlines and reminders of the table with those of this installation over them."""
        return TableLimits(self.deadlines, self.reminders)

    def thresholds(self) -> Thresholds:
        """When something is stuck: the table's times with those of this installation over them."""
        return Thresholds(self.stuck)

    def further(self) -> Further:
        """The bindings of this installation beyond the table."""
        return jedi_bindings(self.jedi_vos, self.jedi_shards)


@lru_cache(maxsize=1)
def settings() -> Settings:
    """The settings of this process. Raises SettingsError naming each variable that is missing or wrong."""
    try:
        return Settings()  # type: ignore[call-arg]  # pydantic-settings fills the fields from the environment
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)
        hint = " (try `make up`, then `source .run/env`)" if any(one["type"] == "missing" for one in found) else ""
        raise SettingsError("; ".join(map(_sentence, found)) + hint) from None
    except NoJsonError as error:
        name = re.findall(r'field "(\w+)"', str(error))
        raise SettingsError(f"PANDA_FSM_{''.join(name).upper()}: not JSON: {error.__cause__}") from None


def _sentence(error: Any) -> str:
    """The variable and what is wrong with it; what is wrong between two variables names them itself."""
    what = str(error["msg"]).removeprefix("Value error, ")
    if not error["loc"]:
        return what
    name, *inside = map(str, error["loc"])
    places = [place for place in inside if place != "[key]"]
    return f"PANDA_FSM_{name.upper()}: {': '.join([*places, what[:1].lower() + what[1:]])}"
