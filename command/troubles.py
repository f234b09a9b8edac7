"""`panda-fsm stuck | errors`: where work does not get on, and what fails."""

from typing import Annotated, Any

import typer

from command import lists, terminal
from command.terminal import AsJson
from panda_fsm.views import words

Site = Annotated[str | None, typer.Option(metavar="QUEUE", help="at this PanDA queue only")]
Rule = Annotated[str | None, typer.Option(help="what this rule finds, with some of its jobs")]


def stuck(rule: Rule = None, site: Site = None, as_json: AsJson = False) -> None:
    """Show what has not moved, which hop is broken, and what to do; exit code 1 when there is anything."""
    from gateway.dashboard.stuck import PAGE

    found = lists.look(PAGE, {"rule": rule, "site": site})
    columns: tuple[lists.Column[Any], ...] = (
        ("rule", lambda row: row.rule),
        ("where", lambda row: row.place),
        ("how many", lambda row: words.counted(row.count, row.noun)),
        ("oldest since", lambda row: row.oldest_at),
        ("hop", lambda row: row.hop),
        ("what to do", lambda row: row.suggests),
        ("owner", lambda row: row.owner),
    )
    lists.tell(found, columns, as_json)
    if found.jobs and not as_json:
        of_jobs: tuple[lists.Column[Any], ...] = (
            ("job", lambda job: job.job_id),
            ("queue", lambda job: job.site),
            ("since", lambda job: job.since),
            ("state", lambda job: job.state_now or "archived"),
            ("task", lambda job: job.task_id),
            ("waits for", lambda job: job.waits_for),
        )
        lists.show(found.jobs, of_jobs, "some of its jobs")
    if not found.rows and not as_json:
        terminal.say("nothing is stuck")
    raise typer.Exit(1 if found.rows else 0)


def errors(
    by: Annotated[str, typer.Option(help="code, or site: each queue by itself")] = "code",
    site: Site = None,
    vo: Annotated[str | None, typer.Option("--vo", help="of this experiment only")] = None,
    since: lists.Since = None,
    as_json: AsJson = False,
) -> None:
    """Show what fails, since when and whose it is, the most frequent first."""
    from gateway.dashboard.errors import PAGE

    found = lists.look(PAGE, {"by": by, "site": site, "vo": vo, "since": since})
    columns: tuple[lists.Column[Any], ...] = (
        ("error", lambda row: row.label),
        ("jobs", lambda row: row.jobs),
        ("lately", lambda row: row.lately),
        ("share", lambda row: "" if row.share is None else words.share(row.share)),
        ("first", lambda row: row.first_at),
        ("last", lambda row: row.last_at),
        ("queues", lambda row: row.site or ", ".join(row.sites)),
        ("whose", lambda row: row.whose),
        ("said last", lambda row: row.sample),
    )
    lists.tell(found, columns, as_json)
