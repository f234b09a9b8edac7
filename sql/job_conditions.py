"""Filters of jobs as conditions: what is not asked for does not stand in a statement, which is planned for the rest."""

from collections.abc import Mapping
from typing import Any, LiteralString

from panda_fsm.views.job_list import JobsWanted

WHICH: Mapping[str, LiteralString] = {"state": "state = %(state)s", "site": "site = %(site)s", "vo": "vo = %(vo)s"}
_WHOSE: Mapping[str, LiteralString] = {"task": "task_id = %(task)s", "user": "user_name = %(user)s"}
"""What has an index of its own."""
_LIVE_TIMES: Mapping[str, LiteralString] = {
    "since": "state_changed_at >= %(since)s", "until": "state_changed_at < %(until)s",
}  # fmt: skip
_ENDED_TIMES: Mapping[str, LiteralString] = {"since": "ended_at >= %(since)s", "until": "ended_at < %(until)s"}
_OF_COMPONENT: LiteralString = "errors -> %(component)s ->> 'code' = %(code)s::text"
_OF_ANYBODY: LiteralString = (
    "jsonb_path_exists(errors, '$.*.code ? (@ == $code)', jsonb_build_object('code', %(code)s))"
)


def parameters(wanted: JobsWanted) -> dict[str, Any]:
    """What is asked for, by name."""
    names = ("state", "site", "vo", "task", "user", "since", "until")
    code = wanted.code
    return {name: getattr(wanted, name) for name in names} | {
        "component": code and code.component,
        "code": code and code.code,
    }


def conditioned(query: LiteralString, asked: Mapping[str, Any], *, is_archived: bool = False) -> LiteralString:
    """The statement with its conditions: `whose` where jobs are looked through, `which` where those are chosen from."""
    which = dict(WHICH)
    if asked["code"] is not None:
        which["code"] = _OF_ANYBODY if asked["component"] is None else _OF_COMPONENT
    whose = {**_WHOSE, **(_ENDED_TIMES if is_archived else {})}
    which |= {} if is_archived else _LIVE_TIMES
    return query.replace(" /* whose */", those(asked, whose)).replace(" /* which */", those(asked, which))


def those(asked: Mapping[str, Any], conditions: Mapping[str, LiteralString]) -> LiteralString:
    """The conditions of what is asked for."""
    found: LiteralString = ""
    for name, condition in conditions.items():
        if asked[name] is not None:
            found += " AND " + condition
    return found
