"""Settings: one frozen model read from PANDA_FSM_* environment variables; wrong values fail at start."""

from functools import lru_cache
from pathlib import Path

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from panda_fsm.errors import SettingsError
from panda_fsm.lifecycle import DEADLINES
from panda_fsm.states import State


class Settings(BaseSettings):
    """Every setting has a working default but the two addresses."""

    model_config = SettingsConfigDict(env_prefix="PANDA_FSM_", frozen=True, extra="ignore")

    database_url: str = Field(description="PostgreSQL address, postgresql://user:password@host:port/database")
    broker_url: str = Field(description="RabbitMQ address, amqp://user:password@host:port/vhost")
    gateway_host: str = Field("127.0.0.1", description="address the gateway listens on")
    gateway_port: int = Field(25080, ge=1, le=65535, description="port the gateway listens on")
    sites_file: Path | None = Field(None, description="JSON file of queues and storages")
    cache_dir: Path = Field(Path(".run/cache"), description="where uploaded sandboxes are kept")
    identity_provider: str = Field("trusted_loopback", description="who says who a caller is")
    batch_size: int = Field(200, ge=1, le=5000, description="most deliveries in one transaction")
    statement_timeout_s: float = Field(30, gt=0, description="a slower SQL statement is cancelled, in seconds")
    database_pool: int = Field(8, ge=1, le=100, description="most database connections of one gateway process")
    confirm_timeout_s: float = Field(10, gt=0, description="wait for the broker's confirm, in seconds")
    relay_age_s: float = Field(2, gt=0, description="the relay publishes outbox rows older than this, in seconds")
    deadlines: dict[State, int] = Field(
        default_factory=dict, description='seconds a job may stay in a state, as JSON: {"sent": 600}; unset: the table'
    )
    log_level: str = Field("info", description="debug, info, warning or error")
    log_json: bool = Field(True, description="log lines as JSON; false for people")

    def deadline_s(self, state: State) -> int | None:
        """Seconds a job may stay in `state`; None for a final state."""
        if state in self.deadlines:
            return self.deadlines[state]
        return DEADLINES[state].seconds if state in DEADLINES else None


@lru_cache(maxsize=1)
def settings() -> Settings:
    """The settings of this process. Raises SettingsError naming each variable that is missing or wrong."""
    try:
        return Settings()  # type: ignore[call-arg]  # pydantic-settings fills the fields from the environment
    except ValidationError as error:
        lines = [
            f"PANDA_FSM_{'_'.join(str(p) for p in e['loc']).upper()}: {e['msg'].lower()}"
            for e in error.errors(include_url=False)
        ]
        raise SettingsError("; ".join(lines) + " (try `make up`, then `source .run/env`)") from None
