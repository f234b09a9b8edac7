"""Which jobs a pilot can take, by what it says of itself (docs/dialect.md)."""

from gateway.wire.pilot_requests import AcquireRequest
from panda_fsm.claims import Filters
from panda_fsm.sites import Status

_MANAGED = ("managed", "test", "prod_test", "install")
_USER = ("user", "panda", "install")
_LABELS = {"": _MANAGED, "managed": _MANAGED, "user": _USER, "unified": (*_MANAGED, "user", "panda")}
"""A pilot's label stands for a set of job labels; any other stands for itself."""
_TEST = "test"
_TESTS = ("prod_test", "install", _TEST)
"""What a test pilot takes that says for which compute element it was sent."""
_NO_TESTS = frozenset({*_LABELS, "panda"})
"""Labels of pilots that stand for more than tests."""


def filters(ask: AcquireRequest, queue_status: str) -> Filters:
    """What the pilot can take. Zero means that it did not say."""
    return Filters(
        site=ask.site_name,
        labels=_labels(ask, queue_status),
        memory=ask.memory or None,
        disk=ask.disk_space or None,
        remaining_time=ask.remaining_time or None,
        core_count=ask.core_count or None,
        resource_type=ask.resource_type,
        task_id=ask.task_id or None,
        user_name=ask.prod_user_id,
        background=ask.background is True,
    )


def _labels(ask: AcquireRequest, queue_status: str) -> tuple[str, ...]:
    label = ask.prod_source_label or ""
    if queue_status == Status.TEST and label in _NO_TESTS:
        label = _TEST
    if label == _TEST and ask.computing_element:
        return _TESTS
    return _LABELS.get(label, (label,))
