"""A browser without scripts: it keeps its session's cookie, fills in forms of pages and is led back."""

from __future__ import annotations

import re
from typing import Any
from uuid import uuid4

import httpx

_SEAL = re.compile(r'name="seal" value="([0-9a-f]*)"')


class Browser:
    """One person at one browser."""

    def __init__(self, url: str, name: str = "", role: str = "viewer", vo: str = "") -> None:
        self.http = httpx.Client(base_url=url, timeout=20, trust_env=False)
        self.seal = self._sealed()
        if name:
            done = self.post("/ui/session", name=name, role=role, vo=vo)
            assert done.status_code == 303, done.text
            self.seal = self._sealed()

    def get(self, path: str, **query: Any) -> str:
        """The page's text."""
        answer = self.http.get(path, params=query or None)
        assert answer.status_code == 200, answer.text
        return answer.text

    def post(self, path: str, **form: Any) -> httpx.Response:
        """Send a form of a page of ours, and see where it leads."""
        return self.http.post(path, data={"seal": self.seal} | form)

    def act(self, name: str, /, reason: str = "a test", **form: Any) -> httpx.Response:
        """Do something as the form of a page does."""
        return self.post(f"/ui/act/{name}", **({"key": str(uuid4()), "reason": reason, "back": "/ui/audit"} | form))

    def told(self, answer: httpx.Response) -> str:
        """What the page says to which it led."""
        assert answer.status_code == 303, answer.text
        found = re.search(r'role="status"><p>✓ (.*?)</p>', self.get(answer.headers["location"]))
        return found[1] if found else ""

    def close(self) -> None:
        """Forget the cookies."""
        self.http.close()

    def _sealed(self) -> str:
        found = _SEAL.search(self.get("/ui/session"))
        assert found, "a page without a seal"
        return found[1]
