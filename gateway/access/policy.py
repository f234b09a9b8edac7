"""Who may use a route. Each route names one of these, and the API document shows it."""

from enum import Enum


class Access(Enum):
    """A policy by name, and what it means today.

    Where it speaks of a relation to a job (holder, owner) the handler checks it, for it alone knows the job.
    """

    ANYBODY = "anybody"
    PILOT = "pilots: anybody who asks; a job that is handed out belongs to the identity that asked"
    HOLDER = "the job's holder, the identity to which it was handed out; all others are told to stop"
    USER = "users: anybody; what is made belongs to the identity that made it"
    OWNER = "the job's owner, and production managers as far as the kill matrix lets them"
