"""The built-in pilot: a small worker for machines on which the real one may not run. Standard library only.

It speaks the same new-style API as the real pilot, runs the same transformations and moves files between the
same local storages; heartbeats, a kill by the server, and failure of payload or transfer are reported.
`python -m lab.builtin_pilot --help` tells how to run it.
"""

import argparse
import contextlib
import hashlib
import json
import logging
import os
import shlex
import shutil
import socket
import subprocess
import sys
import tarfile
import time
import uuid
from pathlib import Path
from typing import Any

from lab.builtin_pilot_io import (
    KILLED,
    NO_TRANSFORMATION,
    PAYLOAD_FAILED,
    STAGE_IN_FAILED,
    STAGE_OUT_FAILED,
    File,
    Job,
    PilotError,
    Server,
    adler32,
    plain_name,
    storage_paths,
)

HEARTBEAT_S = 60.0
VERSION = "panda-fsm-pilot"

log = logging.getLogger(__name__)


class Pilot:
    """Acquires jobs of one queue and runs them one after the other."""

    def __init__(self, server: Server, queue: str, label: str, workdir: Path, node: str | None = None) -> None:
        self._server, self._queue, self._label, self._workdir = server, queue, label, workdir
        self._node = node or socket.gethostname()
        self._storages = storage_paths(json.loads(server.get("/cache/ddmendpoints.json")))

    def run_one(self) -> bool:
        """Runs one job to its end; False if there was none."""
        spec = self._acquire()
        if spec is None:
            return False
        job = Job(spec, self._workdir / f"job-{spec['PandaID']}")
        job.directory.mkdir(parents=True)
        final: dict[str, Any] = {"job_status": "finished"}
        try:
            self._run(job)
        except PilotError as error:
            final = {"job_status": "failed", "pilot_error_code": error.code}
            final |= {"pilot_error_diag": str(error)[:500], "trans_exit_code": error.exit_code}
            log.warning("job %d failed: %s", job.job_id, error)
            job.report.clear()
            with contextlib.suppress(PilotError):
                self._ship_log(job)
        final |= {"job_output_report": json.dumps(job.report), "end_time": _utc(time.time())}
        self._update(job, final)
        shutil.rmtree(job.directory)
        return True

    def _acquire(self) -> dict[str, Any] | None:
        free_mb = shutil.disk_usage(self._workdir).free >> 20
        request: dict[str, Any] = {"site_name": self._queue, "computing_element": self._queue}
        request |= {"prod_source_label": self._label, "node": self._node, "disk_space": free_mb}
        reply = self._server.post("/api/v1/pilot/acquire_jobs", request)
        jobs = (reply.get("data") or {}).get("jobs") or []
        return jobs[0] if jobs else None

    def _run(self, job: Job) -> None:
        """starting, inputs, running, payload, outputs, log; raises PilotError."""
        self._update(job, {"job_status": "starting"})
        for file in job.inputs():
            self._stage_in(job, file)
        self._update(job, {"job_status": "running"})
        self._run_payload(job)
        for file in job.outputs():
            self._stage_out(job, file)
        self._ship_log(job)

    def _update(self, job: Job, fields: dict[str, Any]) -> None:
        """Reports to the server; raises PilotError if it answers that the job shall be killed."""
        body: dict[str, Any] = {"job_id": job.job_id, "attempt_nr": int(job.spec.get("attemptNr") or 0)}
        body |= {"site_name": self._queue, "node": self._node, "pilot_id": VERSION}
        body |= {"start_time": _utc(job.started), "core_count": 1}
        reply = self._server.post("/api/v1/pilot/update_job", body | fields)
        command = (reply.get("data") or {}).get("command") or reply.get("command") or ""
        if "tobekilled" in command and fields["job_status"] in {"starting", "running"}:
            raise PilotError(KILLED, "This job was killed by panda server")

    def _stage_in(self, job: Job, file: File) -> None:
        source = self._replica(file)
        if not source.is_file():
            raise PilotError(STAGE_IN_FAILED, f"no replica of {file.lfn} at {file.storage}")
        if file.checksum.startswith("ad:") and adler32(source) != file.checksum[3:]:
            raise PilotError(STAGE_IN_FAILED, f"replica of {file.lfn} at {file.storage} has a wrong checksum")
        (job.directory / file.lfn).symlink_to(source)

    def _stage_out(self, job: Job, file: File) -> None:
        """Copies beside its final place and renames, so that nobody sees half a file."""
        source, target = job.directory / file.lfn, self._replica(file)
        if not source.is_file() or not source.stat().st_size:
            raise PilotError(STAGE_OUT_FAILED, f"the payload left no {file.lfn}")
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
        shutil.copyfile(source, partial)
        partial.replace(target)
        job.report[file.lfn] = {
            "guid": file.guid,
            "fsize": source.stat().st_size,
            "adler32": adler32(source),
            "surl": f"file://localhost{target}",
            "endpoint": file.storage,
        }

    def _ship_log(self, job: Job) -> None:
        tarball = job.log()
        if tarball is None:
            return
        with tarfile.open(job.directory / tarball.lfn, "w:gz") as archive:
            for path in job.directory.glob("payload.std*"):
                archive.add(path, arcname=f"tarball_PandaJob_{job.job_id}/{path.name}")
        self._stage_out(job, tarball)

    def _replica(self, file: File) -> Path:
        if file.storage not in self._storages:
            raise PilotError(STAGE_IN_FAILED, f"unknown storage {file.storage}")
        digest = hashlib.md5(f"{file.scope}:{file.lfn}".encode(), usedforsecurity=False).hexdigest()
        root = self._storages[file.storage]
        return root.joinpath(*map(plain_name, file.scope.split(".")), digest[:2], digest[2:4], file.lfn)

    def _run_payload(self, job: Job) -> None:
        script = job.directory / plain_name(str(job.spec["transformation"]).rsplit("/", 1)[-1])
        try:
            script.write_bytes(self._server.get(f"/trf/user/{script.name}"))
        except OSError as error:
            raise PilotError(NO_TRANSFORMATION, f"transformation {script.name}: {error}") from error
        script.chmod(0o755)
        command = [f"./{script.name}", *shlex.split(str(job.spec.get("jobPars") or ""))]
        with (
            (job.directory / "payload.stdout").open("wb") as out,
            (job.directory / "payload.stderr").open("wb") as err,
            subprocess.Popen(command, cwd=job.directory, stdout=out, stderr=err) as process,
        ):
            exit_code = self._wait(job, process)
        if exit_code:
            raise PilotError(PAYLOAD_FAILED, "Failed to execute payload", exit_code)

    def _wait(self, job: Job, process: "subprocess.Popen[bytes]") -> int:
        """Exit code of the payload; a heartbeat now and then, a kill if the server says so."""
        while True:
            try:
                return process.wait(HEARTBEAT_S)
            except subprocess.TimeoutExpired:
                try:
                    self._update(job, {"job_status": "running"})
                except PilotError:
                    process.kill()
                    raise


def run(url: str, queue: str, label: str, max_jobs: int, workdir: Path, token: str) -> int:
    """Runs jobs until there are none, or `max_jobs` of them (0: no limit); the exit code of the process."""
    workdir.mkdir(parents=True, exist_ok=True)
    done = 0
    try:
        pilot = Pilot(Server(url, token), queue, label, workdir)
        while (not max_jobs or done < max_jobs) and pilot.run_one():
            done += 1
    except OSError as error:
        log.error("server does not serve: %s", error)
        return os.EX_UNAVAILABLE
    finally:
        log.info("%d jobs run", done)
    return os.EX_OK


def _utc(moment: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(moment))


def main() -> int:
    """Run as the command line says."""
    parser = argparse.ArgumentParser(prog="python -m lab.builtin_pilot", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--url", required=True, help="origin of the gateway, http://127.0.0.1:25080")
    parser.add_argument("--queue", required=True, help="the queue whose jobs to run")
    parser.add_argument("--workdir", required=True, type=Path, help="directory to run them in")
    parser.add_argument("--label", default="user", help="prodSourceLabel to ask for")
    parser.add_argument("--max-jobs", default=0, type=int, help="stop after so many jobs; 0: when there are none")
    parser.add_argument("--token-file", type=Path, help="file with the bearer token")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, stream=sys.stderr)
    token = options.token_file.read_text().strip() if options.token_file else ""
    return run(options.url, options.queue, options.label, options.max_jobs, options.workdir, token)


if __name__ == "__main__":
    sys.exit(main())
