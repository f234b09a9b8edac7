"""What operators set above what the sources of a queue say, with the row of the audit that is written with it."""

from datetime import datetime

from panda_fsm.descriptions import AuditRow
from panda_fsm.information.models import Override, Status


def overriding(status: str, by: str, reason: str, since: datetime, until: datetime | None) -> Override:
    """What is set from now on. Raises ValueError that says what is wrong with it."""
    if not reason.strip():
        raise ValueError("say why it is set: others will ask")
    if until is not None and until <= since:
        raise ValueError(f"{until:%Y-%m-%d %H:%M} UTC is over already")
    return Override(status=Status(status), by=by, reason=reason.strip(), since=since, until=until)


def audited(queue: str, override: Override | None, actor: str, name: str, reason: str, **more: object) -> AuditRow:
    """The row of the audit. `actor` is an identity's key; `more`: what else is known of who asked."""
    said = {} if override is None else override.model_dump(mode="json", include={"status", "until"}, exclude_none=True)
    action = "queue_status_lifted" if override is None else "queue_status_set"
    return AuditRow(actor, action, f"site {queue}", {"name": name, "reason": reason} | said | more)


def told(queue: str, override: Override | None) -> str:
    """What was done, in a sentence."""
    if override is None:
        return f"The status of {queue} is what its source says again."
    until = "" if override.until is None else f" until {override.until:%Y-%m-%d %H:%M} UTC"
    return f"{queue} is set {override.status}{until}. Gateways follow within seconds."
