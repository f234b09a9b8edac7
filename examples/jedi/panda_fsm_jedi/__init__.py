"""JEDI's side of the messages between JEDI and panda-fsm. Needs pika and pydantic, and nothing of the server."""

from panda_fsm_jedi.client import JediClient
from panda_fsm_jedi.errors import JediError, NotAnsweredError, RefusedError
from panda_fsm_jedi.follower import Follower
from panda_fsm_jedi.messages import Block, DatasetClosed, FileStatus, JobResult, JobStatus, Reply, SiteActivity
from panda_fsm_jedi.picture import Picture

__all__ = [
    "Block", "DatasetClosed", "FileStatus", "Follower", "JediClient", "JediError", "JobResult", "JobStatus",
    "NotAnsweredError", "Picture", "RefusedError", "Reply", "SiteActivity",
]  # fmt: skip
