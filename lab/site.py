"""Describes a one-machine laboratory: sites, each with a storage and a queue, and tokens.

Real pilots work at one of them, simulated ones at those whose names say what is wrong there.
"""

from __future__ import annotations

import base64
import json
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

VO = "lab"
QUEUE = "LAB_B"
SOURCE_STORAGE = "LAB_A_DATADISK"
QUEUE_STORAGE = "LAB_B_DATADISK"
PAYLOAD_DIR = Path(__file__).resolve().parent / "payload"
TEN_YEARS = 10 * 365 * 24 * 3600
STEADY_QUEUE, FAILING_QUEUE, SLOW_QUEUE = SIMULATED = ("LAB_STEADY", "LAB_FAILING", "LAB_SLOW")
"""Where simulated pilots work; the real ones never see their jobs."""
_SITES = {"LAB_A": ("LAB_SITE_A", SOURCE_STORAGE), QUEUE: ("LAB_SITE_B", QUEUE_STORAGE)} | {
    queue: (f"{queue}_SITE", f"{queue}_DATADISK") for queue in SIMULATED
}


@dataclass(frozen=True)
class LabFiles:
    """Where the laboratory's files are, and the environment that clients and pilots need."""

    root: Path
    sites_file: Path
    source_storage: Path
    queue_storage: Path
    env: dict[str, str]

    def storage(self, name: str) -> Path:
        """Where the files of a storage lie."""
        return self.root / "storage" / name


def write_lab(run_dir: Path, gateway_url: str) -> LabFiles:
    """Writes all files of the laboratory below `run_dir/lab`. May be called again at any time."""
    root = run_dir.resolve() / "lab"
    storages = {name: root / "storage" / name for _, name in _SITES.values()}
    blocks = root / "blocks"
    for path in (*storages.values(), blocks):
        path.mkdir(parents=True, exist_ok=True)
    sites_file = root / "sites.json"
    _write_json(sites_file, _sites(storages) | {"block_register": str(blocks)})
    schedconf = root / "schedconf.json"
    _write_json(schedconf, {queue: queuedata(queue) for queue in _SITES})
    _write(root / "pilot.token", unsigned_token("lab-pilot", gateway_url))
    return LabFiles(
        root=root,
        sites_file=sites_file,
        source_storage=storages[SOURCE_STORAGE],
        queue_storage=storages[QUEUE_STORAGE],
        env=_pilot_env(root, schedconf) | _client_env(gateway_url),
    )


def storage_of(queue: str) -> str:
    """The storage that a queue reads and writes."""
    return _SITES[queue][1]


def queuedata(queue: str) -> dict[str, Any]:
    """What the pilot wants to know of a queue."""
    site, storage = _SITES[queue]
    activities = ("pr", "pw", "pl", "read_lan", "write_lan", "default")
    return {
        "nickname": queue,
        "panda_resource": queue,
        "atlas_site": site,
        "state": "ACTIVE",
        "status": "online",
        # Not "unified", for which the pilot would exchange its proxy before every analysis job.
        "type": "analysis",
        # Without it outputs stay in the home folder of the pilot.
        "catchall": "mv_final_destination",
        "copytools": {"mv": {"setup": ""}},
        "acopytools": {activity: ["mv"] for activity in activities},
        "astorages": {activity: [storage] for activity in activities},
        "maxwdir": 20000,
        "maxrss": 4000,
        "maxtime": 86400,
        # Minutes during which a pilot may ask for a further job.
        "timefloor": 600,
        "corecount": 1,
        "resource_type": "",
        "container_type": "",
        "container_options": "",
        "is_cvmfs": False,
        "params": {},
    }


def unsigned_token(subject: str, issuer: str) -> str:
    """A JWT that names its bearer and proves nothing: enough for a gateway that trusts its loopback."""
    now = int(time.time())
    # prun names its outputs after `preferred_username`.
    who = {"sub": subject, "name": subject, "preferred_username": subject}
    claims = who | {"iss": issuer, "iat": now, "exp": now + TEN_YEARS}
    parts = ({"alg": "none", "typ": "JWT"}, claims)
    return ".".join(_base64url(json.dumps(part).encode()) for part in parts) + "."


def _sites(storages: dict[str, Path]) -> dict[str, Any]:
    """The file from which gateway and DDM learn of queues and storages."""
    return {
        "queues": {
            queue: {"site": site, "storage": storage, "status": "online", "queuedata": queuedata(queue)}
            for queue, (site, storage) in _SITES.items()
        },
        "storages": {storage: {"site": site, "path": str(storages[storage])} for site, storage in _SITES.values()},
        "transformations": str(PAYLOAD_DIR),
    }


def _pilot_env(root: Path, schedconf: Path) -> dict[str, str]:
    """Variables the real pilot reads."""
    return {
        "PILOT_NOKILL": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        "LOCAL_AGIS_SCHEDCONF": str(schedconf),
        # The pilot copies transformations from here instead of fetching them.
        "HARVESTER_WORKDIR": str(PAYLOAD_DIR),
        "OIDC_AUTH_TOKEN": "pilot.token",
        "OIDC_AUTH_ORIGIN": f"{VO}.pilot",
        # The pilot takes the directory name of this value, so without the slash it looks one level up.
        "OIDC_AUTH_DIR": f"{root}/",
    }


def _client_env(gateway_url: str) -> dict[str, str]:
    """Variables panda-client reads when it is imported."""
    return {
        "PANDA_URL": gateway_url,
        "PANDA_URL_SSL": gateway_url,
        "PANDACACHE_URL": gateway_url,
        # Otherwise the client replaces host names by what the name server says of their addresses.
        "PANDA_BEHIND_REAL_LB": "1",
        "PANDA_AUTH": "oidc",
        "PANDA_AUTH_VO": VO,
        "PANDA_AUTH_ID_TOKEN": unsigned_token("lab-user", gateway_url),
    }


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _write_json(path: Path, content: object) -> None:
    _write(path, json.dumps(content, indent=1) + "\n")


def _write(path: Path, text: str) -> None:
    """Replaces the file in one step: pilots and the gateway may read it at this moment."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    partial.write_text(text)
    partial.replace(path)
