"""The account a private service runs under, and a folder that this account can really reach.

PostgreSQL refuses root. As root we therefore start services as the unprivileged user that their Debian
package created; as anybody else we start them as ourselves.
"""

from __future__ import annotations

import os
import pwd
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict


class PopenArguments(TypedDict, total=False):
    """What `subprocess` needs to start a process as somebody else."""

    user: int
    group: int
    extra_groups: list[int]
    umask: int


@dataclass(frozen=True)
class Account:
    """A user and a group; `switch` says whether processes must be started as them."""

    uid: int
    gid: int
    switch: bool

    @classmethod
    def for_service(cls, *names: str) -> Account:
        """Ourselves, or as root the first of the named users that exists (else nobody)."""
        if os.geteuid() != 0:
            return cls(os.geteuid(), os.getegid(), switch=False)
        for name in (*names, "nobody"):
            try:
                entry = pwd.getpwnam(name)
            except KeyError:
                continue
            return cls(entry.pw_uid, entry.pw_gid, switch=True)
        raise RuntimeError(f"none of the users {', '.join(names)}, nobody exists")

    def popen_arguments(self) -> PopenArguments:
        """Keyword arguments for `subprocess`; empty when we stay ourselves."""
        if not self.switch:
            return {"umask": 0o077}
        return {"user": self.uid, "group": self.gid, "extra_groups": [], "umask": 0o077}

    def own(self, path: Path) -> None:
        """Hand a file or folder over to this account, private to it."""
        path.chmod(0o700 if path.is_dir() else 0o600)
        if self.switch:
            os.chown(path, self.uid, self.gid)

    def home(self, directory: Path, name: str) -> Path:
        """A private folder of this account: below `directory`, or elsewhere if it can't be reached.

        A clone under /root can't be entered by the unprivileged user. The folder is then made under
        /var/tmp with a name that nobody can guess, and remembered in `directory`.
        """
        pointer = directory / f"{name}.home"
        if pointer.exists() and (remembered := Path(pointer.read_text().strip())).is_dir():
            return remembered
        home = directory / name
        home.mkdir(parents=True, exist_ok=True)
        self.own(home)
        if not self._reaches(home):
            home.rmdir()
            home = Path(tempfile.mkdtemp(prefix=f"panda-fsm-{name}-", dir="/var/tmp"))
            self.own(home)
            pointer.write_text(f"{home}\n")
        return home

    def _reaches(self, folder: Path) -> bool:
        probe = ["test", "-w", str(folder), "-a", "-x", str(folder)]
        return subprocess.run(probe, check=False, **self.popen_arguments()).returncode == 0
