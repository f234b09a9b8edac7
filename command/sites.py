"""Reads queues and storages from the file that PANDA_FSM_SITES_FILE names."""

import json
from pathlib import Path

from pydantic import ValidationError

from panda_fsm.errors import SettingsError, first_complaint
from panda_fsm.sites import Sites


def load(path: Path | None) -> Sites:
    """Read `path`; no path means no queues. Raises SettingsError that says what is wrong where."""
    if path is None:
        return Sites()
    try:
        return Sites.model_validate(json.loads(path.read_text()))
    except ValidationError as error:
        where, what = first_complaint(error)
        raise SettingsError(f"PANDA_FSM_SITES_FILE={path}: {where}: {what}") from None
    except (OSError, ValueError) as error:
        raise SettingsError(f"PANDA_FSM_SITES_FILE={path}: {error}") from None
