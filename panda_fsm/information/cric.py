"""Entries as CRIC and its like write them, which is what pilots read: schedconfig, DDM endpoints, sites, closeness.

Names that are not ours are met here only. Numbers may come as text, and what is empty as null, "" or 0.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from panda_fsm.information.models import Kind, Status

_ACTIVE = "ACTIVE"
_LIMITS = {
    "min_memory_mb": "minrss", "max_memory_mb": "maxrss", "min_time_s": "mintime", "max_time_s": "maxtime",
    "cores": "corecount", "max_work_dir_mb": "maxwdir",
}  # fmt: skip
_WRITES = ("write_lan", "pw", "default")
"""The first of these activities that names a storage says where a queue writes."""
_OWN_SITE = "_site"
"""Experiments put their own name before it; that of the computing centre is the last resort."""
_CENTRE = "rc_site"


def queue(entry: Mapping[str, Any]) -> dict[str, Any]:
    """A queue of schedconfig. Raises ValueError."""
    status = _text(entry, "status").lower()
    if not status:
        raise ValueError("it has no status")
    storages = _storages(entry)
    if not storages:
        raise ValueError("it has no storage: neither astorages nor ddm names one")
    is_active = _text(entry, "state", _ACTIVE).upper() == _ACTIVE
    return {
        "site": _site(entry),
        "storage": storages[0],
        "storages": tuple(storages),
        "status": status if is_active else Status.OFFLINE,
        "queuedata": dict(entry),
    } | limits(entry)


def limits(entry: Mapping[str, Any]) -> dict[str, Any]:
    """What bounds the jobs of a queue, of what its pilots read of it. Raises ValueError."""
    return {ours: _whole(entry, theirs) for ours, theirs in _LIMITS.items() if theirs in entry} | {
        "capability": _text(entry, "capability"),
        "parent": _text(entry, "parent"),
        "downtimes": tuple(_downtimes(entry)),
    }


def storage(entry: Mapping[str, Any]) -> dict[str, Any]:
    """A DDM endpoint. Raises ValueError."""
    protocols: dict[str, Any] = {}
    for activity, ways in _object(entry, "arprotocols").items():
        if not isinstance(ways, list) or not all(isinstance(way, dict) for way in ways):
            raise ValueError(f"arprotocols.{activity!s:.40}: it is no list of protocols")
        protocols[activity] = tuple(
            {name: _text(way, name) for name in ("endpoint", "flavour", "path")} for way in ways
        )
    return {
        "site": _site(entry),
        "type": _text(entry, "type"),
        "protocols": protocols,
        "storagedata": dict(entry),
    }


def site(entry: Mapping[str, Any]) -> dict[str, Any]:
    """A site. Raises ValueError."""
    return {
        "country": _text(entry, "country"),
        "cloud": _text(entry, "cloud"),
        "is_active": _text(entry, "state", _ACTIVE).upper() == _ACTIVE,
        "downtimes": tuple(_downtimes(entry)),
    }


def network(entry: Mapping[str, Any]) -> dict[str, Any]:
    """The links from one site, as `links` sorted them out."""
    return {"links": {name: _link(said) for name, said in entry.items()}}


READERS: Mapping[Kind, Callable[[Mapping[str, Any]], dict[str, Any]]] = {
    Kind.QUEUE: queue, Kind.STORAGE: storage, Kind.SITE: site, Kind.NETWORK: network,
}  # fmt: skip


def links(document: Any) -> dict[str, Any]:
    """What is said of each link, by source and destination.

    Closeness comes as a list of {src, dst, closeness}, measurements as an object by "source:destination". What is
    neither is passed over: of a matrix of thousands nobody misses one.
    """
    found: dict[str, Any] = defaultdict(dict)
    if isinstance(document, list):
        for one in document:
            if isinstance(one, dict) and isinstance(one.get("src"), str) and isinstance(one.get("dst"), str):
                found[one["src"]][one["dst"]] = one
    elif isinstance(document, dict):
        for pair, one in document.items():
            source, colon, destination = pair.partition(":")
            if colon and isinstance(one, dict):
                found[source][destination] = one
    return dict(found)


def _link(said: Mapping[str, Any]) -> tuple[int | None, float | None]:
    closeness, mbps = said.get("closeness"), said.get("mbps")
    if isinstance(closeness, dict):
        closeness = closeness.get("latest")
    return (
        None if closeness is None else _number("closeness", closeness, 0, 1000),
        max(_rates(mbps), default=None),
    )


def _rates(said: Any) -> Iterable[float]:
    """Every number in it: measured by several systems, over several spans."""
    if isinstance(said, Mapping):
        for one in said.values():
            yield from _rates(one)
    elif isinstance(said, int | float) and not isinstance(said, bool) and 0 <= said < 1e12:
        yield float(said)


def _site(entry: Mapping[str, Any]) -> str:
    own = sorted(name for name in entry if name.endswith(_OWN_SITE) and name != _CENTRE)
    for name in ("site", *own, _CENTRE):
        if found := _text(entry, name):
            return found
    raise ValueError("it has no site")


def _storages(entry: Mapping[str, Any]) -> list[str]:
    """All that it names, the one that it writes to first."""
    by_activity = _object(entry, "astorages")
    for activity, names in by_activity.items():
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise ValueError(f"astorages.{activity!s:.40}: it is no list of names")
    first = [by_activity[activity] for activity in _WRITES if by_activity.get(activity)]
    listed = [name for names in (*first, *by_activity.values()) for name in names]
    listed += [name.strip() for name in _text(entry, "ddm").split(",")]
    return list(dict.fromkeys(filter(None, listed)))


def _downtimes(entry: Mapping[str, Any]) -> Iterable[dict[str, Any]]:
    said = entry.get("downtimes") or []
    if not isinstance(said, list) or not all(isinstance(one, dict) for one in said):
        raise ValueError("downtimes: they are no list")
    for one in said:
        begins = one.get("begins_at", one.get("start_time", one.get("start")))
        ends = one.get("ends_at", one.get("end_time", one.get("end")))
        yield {
            "begins_at": _time(begins),
            "ends_at": _time(ends),
            "reason": _text(one, "reason") or _text(one, "description"),
        }


def _time(said: Any) -> datetime:
    """Without a zone it is UTC."""
    if isinstance(said, str):
        try:
            found = datetime.fromisoformat(said.strip())
            return found if found.tzinfo else found.replace(tzinfo=UTC)
        except ValueError:
            pass
    raise ValueError(f"downtimes: {said!r:.60} is no time")


def _object(entry: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = entry.get(name) or {}
    if not isinstance(found, dict):
        raise ValueError(f"{name}: it is no JSON object")
    return found


def _text(entry: Mapping[str, Any], name: str, otherwise: str = "") -> str:
    found = entry.get(name)
    if found is None or found == "":
        return otherwise
    if not isinstance(found, str):
        raise ValueError(f"{name}: {found!r:.60} is no text")
    return found.strip()


def _whole(entry: Mapping[str, Any], name: str) -> int:
    found = entry[name]
    return 0 if found is None or found == "" else _number(name, found, 0, 10**12)


def _number(name: str, said: Any, least: int, most: int) -> int:
    try:
        if isinstance(said, bool):
            raise ValueError
        found = float(said)
        if found != int(found):
            raise ValueError
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"{name}: {said!r:.60} is no whole number") from None
    if not least <= found <= most:
        raise ValueError(f"{name}: {said!r:.60} is not between {least} and {most}")
    return int(found)
