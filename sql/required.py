"""Whether the database is as this program needs it: migrated, and with all steps of a job's life."""

from panda_fsm.jobs.table import JOB
from sql.migrate import latest
from sql.queries import load
from sql.session import Session

_Q = load("presence")
_TIMEOUT_S = 5.0


class Required:
    """Looks at the database with a connection of its own. Raises TransientError while it is away."""

    def __init__(self, database_url: str) -> None:
        self._session = Session(database_url, "schema", _TIMEOUT_S)

    def version(self) -> str | None:
        """The newest migration that was applied; None: not one."""
        with self._session.use() as connection:
            (there,) = connection.execute(_Q["has_versions"]).fetchone() or (False,)
            found = connection.execute(_Q["newest_version"]).fetchone() if there else None
            return found[0] if found else None

    def missing(self) -> str | None:
        """What is missing, in a sentence; None when all is there. A newer schema is fine: it was made to be."""
        version = self.version()
        if version is None or version < latest():
            return f"schema {latest()} needed, it is at {version or 'none'}: run panda-fsm migrate"
        with self._session.use() as connection:
            known = set(connection.execute(_Q["known_steps"]))
        for trigger, source, destination, _service in JOB.rows():
            if (trigger, source, destination) not in known:
                return f"the step {trigger} from {source or 'nothing'} is needed: run panda-fsm migrate"
        return None

    def close(self) -> None:
        """Give the connection back."""
        self._session.close()
