"""THE table of who may do what: action × role × relation. Routes name an action, the API document shows its rows."""

from collections.abc import Mapping
from enum import Enum, auto

from gateway.access.identity import ADMIN, LADDER, OPERATOR, PILOT, PRODUCTION, SHIFTER, Identity, Shown
from gateway.http.refusal import ForbiddenError, UnauthenticatedError
from panda_fsm.jobs.judgement import JobRow
from panda_fsm.jobs.kills import Killer, production_group


class Action(Enum):
    """What is asked. Every route names one; some are decided inside a route, for only its handler knows the job."""

    LOOK = auto()
    """Files, pages, counts, states."""
    DESCRIBE = auto()
    DESCRIBE_WHOLLY = auto()
    """With what the job was told to do: parameters and file names."""
    SUBMIT = auto()
    SUBMIT_PRODUCTION = auto()
    """Jobs with a label of production, and jobs of JEDI's."""
    SUBMIT_URGENT = auto()
    """Jobs above the priority that users of the VO may ask for."""
    UPLOAD = auto()
    KILL = auto()
    REASSIGN = auto()
    """To let pending jobs go, and have others set up anew."""
    ACQUIRE = auto()
    REPORT = auto()
    REGISTER = auto()
    """What pilots tell of workers and machines."""
    DEBUG = auto()
    """Debug mode of a job on and off; a pilot may ask for it too."""
    COMMAND = auto()
    """What a pilot runs beside its payload, with its own rights, and shows."""
    PRIORITY = auto()
    RELEASE = auto()
    """To let go a job that is held back."""
    HOLD_TASK = auto()
    PAUSE = auto()
    """A queue of a service or a site, and to let it go on."""
    SET_STATUS = auto()
    """Of a PanDA queue, above what its source says."""
    BULK = auto()
    """The same to all jobs that a filter finds."""
    REPLAY_DEAD = auto()
    REPLAY_ALL_DEAD = auto()
    """All that died alike, at once."""
    DISCARD_DEAD = auto()
    EDIT_DEAD = auto()
    """What is in a dead letter, before it is replayed."""
    THRESHOLDS = auto()
    """From when on something is called stuck."""

    @property
    def who(self) -> str:
        """The rows of the table in words."""
        return ", ".join(_WORDS[row] for row in TABLE[self])

    @property
    def only_reads(self) -> bool:
        """Nothing is changed or given away by it."""
        return self in (Action.LOOK, Action.DESCRIBE, Action.DESCRIBE_WHOLLY)


class Role(Enum):
    """What somebody is; pilot and production are so in a VO, those who operate the system there or everywhere."""

    ANYBODY = ""
    PILOT = PILOT
    PRODUCTION = PRODUCTION
    SHIFTER = SHIFTER
    OPERATOR = OPERATOR
    ADMIN = ADMIN

    @property
    def operates(self) -> bool:
        """Whether it is one of those of which a higher one includes the lower."""
        return self.value in LADDER


class Relation(Enum):
    """What somebody is to a job."""

    ANY = auto()
    OWNER = auto()
    HOLDER = auto()
    SAME_VO = auto()
    """The role is one in the job's VO."""
    EVERYWHERE = auto()
    """The role is one everywhere: what it acts upon is nobody's VO's."""
    SAME_GROUP = auto()
    """The role is one in the working group whose the job is."""


Row = tuple[Role, Relation]
_ANYBODY: Row = (Role.ANYBODY, Relation.ANY)
_OWNER: Row = (Role.ANYBODY, Relation.OWNER)
_HOLDER: Row = (Role.ANYBODY, Relation.HOLDER)
_PILOT: Row = (Role.PILOT, Relation.SAME_VO)
_PRODUCTION: Row = (Role.PRODUCTION, Relation.SAME_VO)
_GROUP_PRODUCTION: Row = (Role.PRODUCTION, Relation.SAME_GROUP)
_SHIFTER: Row = (Role.SHIFTER, Relation.SAME_VO)
_OPERATOR: Row = (Role.OPERATOR, Relation.SAME_VO)
_SHIFTERS: Row = (Role.SHIFTER, Relation.EVERYWHERE)
_OPERATORS: Row = (Role.OPERATOR, Relation.EVERYWHERE)
_ADMINS: Row = (Role.ADMIN, Relation.EVERYWHERE)

TABLE: Mapping[Action, tuple[Row, ...]] = {
    Action.LOOK: (_ANYBODY,),
    Action.DESCRIBE: (_ANYBODY,),
    Action.DESCRIBE_WHOLLY: (_OWNER, _PRODUCTION, _GROUP_PRODUCTION),
    Action.SUBMIT: (_ANYBODY,),
    Action.SUBMIT_PRODUCTION: (_PRODUCTION,),
    Action.SUBMIT_URGENT: (_PRODUCTION,),
    Action.UPLOAD: (_ANYBODY,),
    Action.KILL: (_OWNER, _PRODUCTION, _GROUP_PRODUCTION, _OPERATOR),
    Action.REASSIGN: (_PRODUCTION, _OPERATOR),
    Action.ACQUIRE: (_ANYBODY,),
    Action.REPORT: (_HOLDER, _PILOT, _PRODUCTION),
    Action.REGISTER: (_ANYBODY,),
    Action.DEBUG: (_OWNER, _HOLDER, _PILOT, _PRODUCTION, _GROUP_PRODUCTION, _SHIFTER),
    Action.COMMAND: (_PRODUCTION, _GROUP_PRODUCTION),
    Action.PRIORITY: (_OPERATOR,),
    Action.RELEASE: (_OPERATOR,),
    Action.HOLD_TASK: (_OPERATOR,),
    Action.PAUSE: (_OPERATORS,),
    Action.SET_STATUS: (_OPERATORS,),
    Action.BULK: (_OPERATOR,),
    Action.REPLAY_DEAD: (_SHIFTERS,),
    Action.REPLAY_ALL_DEAD: (_OPERATORS,),
    Action.DISCARD_DEAD: (_OPERATORS,),
    Action.EDIT_DEAD: (_ADMINS,),
    Action.THRESHOLDS: (_ADMINS,),
}
"""What is not here is refused."""

_WORDS: Mapping[Row, str] = {
    _ANYBODY: "anybody",
    _OWNER: "the job's owner",
    _HOLDER: "the job's holder",
    _PILOT: "pilots of the job's VO",
    _PRODUCTION: "production managers of the job's VO",
    _GROUP_PRODUCTION: "those of its working group (label managed or test)",
    _SHIFTER: "shifters of the job's VO",
    _OPERATOR: "operators of the job's VO",
    _SHIFTERS: "shifters of all VOs",
    _OPERATORS: "operators of all VOs",
    _ADMINS: "administrators",
}


def is_open(action: Action) -> bool:
    """Whether everybody may try: what is left depends on the job."""
    return any(role is Role.ANYBODY for role, _ in TABLE[action])


def admit(identity: Identity, action: Action) -> None:
    """What can be said before anything is known of a job. Raises UnauthenticatedError or ForbiddenError."""
    if is_open(action) or any(_may_apply(row, identity) for row in TABLE[action]):
        return
    if identity.shown is Shown.NOTHING:
        raise UnauthenticatedError(f"only for {action.who}: please show a token")
    raise ForbiddenError(f"only for {action.who}")


def may(
    identity: Identity, action: Action, vo: str, owner: str | None = None, holder: str | None = None, group: str = ""
) -> bool:
    """Whether any row allows it, for a job of that VO, owner and holder, and of that working group if it is of one."""
    for row in TABLE[action]:  # noqa: SIM110  # each report of a pilot comes here, and `any` takes twice as long
        if _applies(row, identity, vo, owner, holder, group):
            return True
    return False


def may_with(identity: Identity, action: Action, job: JobRow) -> bool:
    """Whether any row allows it with this job."""
    return may(identity, action, job.vo, job.owner, job.holder, production_group(job.label, job.working_group))


def operates(identity: Identity, action: Action, vo: str = "") -> bool:
    """Whether it may as one of those who operate the system, whatever else it is; of no VO: of what is nobody's."""
    return any(role.operates and _applies((role, how), identity, vo, None, None, "") for role, how in TABLE[action])


def may_report(identity: Identity, job: JobRow) -> bool:
    """Whether a report on this job may come from them; that attempt and batch fit is for others to judge."""
    return may_with(identity, Action.REPORT, job)


def killer(identity: Identity, job: JobRow) -> Killer:
    """Who they are to a job that they want gone."""
    group = production_group(job.label, job.working_group)
    rows = {row for row in TABLE[Action.KILL] if _applies(row, identity, job.vo, job.owner, job.holder, group)}
    return Killer(is_owner=_OWNER in rows, is_production=bool(rows - {_OWNER}))


def _may_apply(row: Row, identity: Identity) -> bool:
    """Whether there could be a job for which it applies."""
    role, relation = row
    if role.operates:
        where = identity.operates_in(role.value)
        return "" in where or (bool(where) and relation is not Relation.EVERYWHERE)
    held = identity.group_roles if relation is Relation.SAME_GROUP else identity.roles
    return any(role.value == one[-1] for one in held)


def _applies(row: Row, identity: Identity, vo: str, owner: str | None, holder: str | None, group: str) -> bool:
    role, relation = row
    if relation is Relation.SAME_GROUP:
        return identity.has_in_group(role.value, vo, group)
    if role.operates:
        return identity.operates(role.value, "" if relation is Relation.EVERYWHERE else vo)
    if role is not Role.ANYBODY and not identity.has(role.value, vo):
        return False
    match relation:
        case Relation.OWNER:
            return identity.is_known_as(owner)
        case Relation.HOLDER:
            return identity.may_have_been(holder)
        case Relation.SAME_VO:
            return role is not Role.ANYBODY
    return True
