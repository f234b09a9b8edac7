"""Makes a file's draft of its attributes by PanDA's names."""

import re
import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from panda_fsm.jobs.drafts import PATTERN, FileDraft
from panda_fsm.specs.complaints import TOKENS, by_sent_names, of_file
from panda_fsm.specs.values import text, whole

_USABLE_STATUS = ("ready", "cached")
_LISTED = ("lfn", "dataset", "destination_block", "destination")
"""What pilots read of all files of a job as one comma list, and that could have a comma otherwise."""
_MOST_PATTERNS = 20
"""All of a job's are compared with the names in its report by a process apart, for seconds if they are made so."""


def file_draft(position: int, file: Mapping[str, Any], places: Mapping[str, str], destination: str) -> FileDraft:
    """File number `position` of a job, its LFN filled with `places`. Raises ValueError: which file and attribute."""
    try:
        return _draft(file, places, destination)
    except ValidationError as error:
        raise ValueError(f"file {position}: {by_sent_names(error, of_file(file))}") from None
    except ValueError as error:
        raise ValueError(f"file {position}: {error}") from None


def _draft(file: Mapping[str, Any], places: Mapping[str, str], destination: str) -> FileDraft:
    kind = file.get("type")
    is_log, is_output = kind == "log", kind in ("output", "log")
    token, place_token = TOKENS[is_output]
    status = file.get("status")
    draft = FileDraft.model_validate(
        {
            "type": kind,
            "lfn": fill(_named(file, "lfn"), places),
            "scope": _named(file, "scope"),
            "dataset": _named(file, "dataset") or _named(file, "prodDBlock"),
            "destination_block": _named(file, "destinationDBlock"),
            "destination": _named(file, "destinationSE") or (destination if is_output else ""),
            "guid": _named(file, "GUID") or (str(uuid.uuid4()).upper() if is_log else ""),
            "size": _size(file.get("fsize")),
            "checksum": _checksum(_named(file, "checksum") or _named(file, "md5sum")),
            "status": status if status in _USABLE_STATUS else "unknown",
            "token": _named(file, token),
            "place_token": _named(file, place_token),
        }
    )
    for field in _LISTED:
        if "," in getattr(draft, field):
            raise ValueError(f"{of_file(file).get(field, field)}: must not contain a comma")
    return draft


def destination_token(draft: FileDraft, sent: Mapping[str, Any]) -> str:
    """The destination token of an output."""
    wanted = sent.get("destinationDBlockToken") is not None and draft.type in ("output", "log")
    return _named(sent, "destinationDBlockToken") if wanted else ""


def fill(template: str, places: Mapping[str, str]) -> str:
    """A text with its places filled."""
    if "$" in template:
        for place, value in places.items():
            template = template.replace(place, value)
    return template


def refuse_unclear_names(files: Sequence[FileDraft]) -> None:
    """Raises ValueError where it would not be clear which output is meant by a name."""
    outputs = Counter(file.lfn for file in files if file.type in ("output", "log"))
    doubles = [lfn for lfn, times in outputs.items() if times > 1]
    if doubles:
        raise ValueError(f"two output files are called {doubles[0]!r:.80}")
    if sum(file.type == "log" for file in files) > 1:
        raise ValueError("has more than one log file")
    if sum(file.lfn.startswith(PATTERN) for file in files) > _MOST_PATTERNS:
        raise ValueError(f"declares more than {_MOST_PATTERNS} outputs by patterns")


def _checksum(sent: str) -> str:
    """With its kind before it; clients leave it out where the length tells."""
    if re.fullmatch("[0-9a-fA-F]{32}", sent):
        return f"md5:{sent}"
    return f"ad:{sent}" if re.fullmatch("[0-9a-fA-F]{8}", sent) else sent


def _named(file: Mapping[str, Any], name: str) -> str:
    try:
        return text(file.get(name)) or ""
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None


def _size(value: Any) -> int:
    try:
        return whole(value) or 0
    except ValueError as error:
        raise ValueError(f"fsize: {error}") from None
