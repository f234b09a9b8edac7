"""Starts the PanDA pilot of the package registry, a library without an entry point of its own, as it is.

Runs only as the first process of a PID namespace with `PILOT_NOKILL` set: the pilot's cleanup otherwise kills
every process of the same user whose parent is process 1.
"""

from __future__ import annotations

import argparse
import importlib
import logging
import os
import sys
import threading
import time
from typing import Any

# What the library reads from its argument object and this launcher does not offer as an option. The names and
# values are those of the pilot's own command line.
FIXED: dict[str, Any] = {
    "allow_other_country": False,
    "allow_same_user": True,
    "amq": None,
    "cacert": None,
    "capath": None,
    "cleanup": True,
    "country_group": "",
    "debug": True,
    "executor_type": "generic",
    "harvester_datadir": "",
    "harvester_eventstatusdump": "",
    "harvester_submitmode": "PULL",
    "harvester_workdir": "",
    "harvester_workerattributes": "",
    "hpc_mode": "manytoone",
    "hpc_resource": "",
    "input_dir": "",
    "internet_protocol_version": "IPv4",
    "jobtype": "",
    "kill_time": 0,
    "leasetime": 3600,
    "nopilotlog": False,
    "output_dir": "",
    "pilot_user": "generic",
    "pod": False,
    "realtime_logging_server": None,
    "realtime_logname": None,
    "redirectstdout": "",
    "resource": "",
    "resource_type": "",
    "retrieve_next_job": True,
    "signal": None,
    "signal_counter": 0,
    "site": "",
    "stageout_attempts": 1,
    "subscribe_to_msgsvc": False,
    "token_renewal": False,
    "update_server": True,
    "use_https": True,
    "use_realtime_logging": False,
    "use_rucio_traces": False,
    "verify_payload_proxy": False,
    "verify_proxy": False,
    "version_tag": "PR",
    "workerpilotstatusupdate": True,
    "workflow": "generic",
    "working_group": "",
}


def parse(argv: list[str]) -> argparse.Namespace:
    """The options a lab needs, on top of the fixed ones."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--queue", required=True, help="PanDA queue to ask jobs for")
    parser.add_argument("--job-label", default="user", help="prodSourceLabel to ask for")
    parser.add_argument("--url", required=True, help="scheme and host of the server, without port")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--queuedata-url", required=True, help="URL or path; {pandaqueue} is replaced")
    parser.add_argument("--storagedata-url", required=True, help="URL or path of ddmendpoints.json")
    parser.add_argument("--input-destination-dir", default="", help="folder from which inputs are linked")
    parser.add_argument("--workdir", required=True, help="throw-away folder to work in")
    parser.add_argument("--getjob-requests", type=int, default=2)
    parser.add_argument("--getjob-failures", type=int, default=1)
    parser.add_argument("--lifetime", type=int, default=86400, help="seconds")
    return parser.parse_args(argv, argparse.Namespace(**FIXED))


def refuse_if_dangerous() -> None:
    """Exits unless nothing outside this process tree can be hit by the pilot's cleanup."""
    if os.getpid() != 1 or "PILOT_NOKILL" not in os.environ:
        sys.exit("refused: the pilot may only run as process 1 of a PID namespace with PILOT_NOKILL set")


def enter_workdir(args: argparse.Namespace) -> str:
    """Makes the pilot's home below the working folder, goes there and returns its path."""
    from pilot.util.filehandling import get_pilot_work_dir, mkdirs

    # On a stuck shutdown the pilot deletes this folder, hence the throw-away one.
    args.sourcedir = args.workdir
    home = str(get_pilot_work_dir(args.workdir))
    mkdirs(home)
    args.mainworkdir = home
    os.chdir(home)
    return home


def export_environment(args: argparse.Namespace, home: str) -> None:
    """Sets the variables through which the pilot's modules learn of each other."""
    from pilot.util.constants import SERVER_UPDATE_NOT_DONE, get_pilot_version
    from pilot.util.https import get_panda_server

    os.environ.update(
        {
            "PANDA_SERVER_URL": get_panda_server(args.url, args.port, update_server=args.update_server),
            "PILOT_ES_EXECUTOR_TYPE": args.executor_type,
            "PILOT_HOME": home,
            "PILOT_IP_VERSION": args.internet_protocol_version,
            "PILOT_JOB_STATE": "startup",
            "PILOT_PAYLOAD_PROXY_VERIFICATION": str(args.verify_payload_proxy),
            "PILOT_PROXY_VERIFICATION": str(args.verify_proxy),
            "PILOT_RESOURCE_NAME": args.resource,
            "PILOT_SOURCE_DIR": args.sourcedir,
            "PILOT_USER": args.pilot_user,
            "PILOT_USE_RUCIO_TRACES": str(args.use_rucio_traces),
            "PILOT_VERSION": get_pilot_version(),
            "PILOT_WORK_DIR": args.workdir,
            "PILOT_WRAP_UP": "NORMAL",
            "QUEUEDATA_SERVER_URL": args.queuedata_url,
            "SERVER_UPDATE": SERVER_UPDATE_NOT_DONE,
            "STORAGEDATA_SERVER_URL": args.storagedata_url,
        }
    )


def prepare(args: argparse.Namespace) -> None:
    """Gives the argument object what the pilot's start-up code would have given it."""
    from pilot.util.constants import PILOT_MULTIJOB_START_TIME, PILOT_START_TIME, get_pilot_version
    from pilot.util.harvester import is_harvester_mode
    from pilot.util.https import https_setup
    from pilot.util.loggingsupport import establish_logging
    from pilot.util.timing import add_to_pilot_timing

    args.last_heartbeat = time.time()
    args.timing = {}
    args.job_status = {}
    args.harvester = is_harvester_mode(args)
    args.graceful_stop = threading.Event()
    args.abort_job = threading.Event()
    args.job_aborted = threading.Event()
    add_to_pilot_timing("0", PILOT_START_TIME, time.time(), args)
    add_to_pilot_timing("1", PILOT_MULTIJOB_START_TIME, time.time(), args)
    home = enter_workdir(args)
    establish_logging(debug=args.debug, nopilotlog=args.nopilotlog)
    export_environment(args, home)
    https_setup(args, get_pilot_version())


def run(args: argparse.Namespace) -> int:
    """Runs the pilot's workflow until it ends by itself; returns its exit code."""
    from pilot.common.exception import PilotException
    from pilot.info import infosys
    from pilot.util.config import config
    from pilot.util.constants import PILOT_END_TIME
    from pilot.util.timing import add_to_pilot_timing

    args.rucio_host = config.Rucio.host
    try:
        infosys.init(args.queue)
    except PilotException as error:
        logging.fatal(error)
        return int(error.get_error_code()) % 256 or 1
    os.environ["PILOT_RUCIO_SITENAME"] = infosys.queuedata.site or ""
    os.environ["PILOT_SITENAME"] = infosys.queuedata.resource
    workflow = importlib.import_module(f"pilot.workflow.{args.workflow}")
    traces = workflow.run(args)
    add_to_pilot_timing("0", PILOT_END_TIME, time.time(), args, store=False)
    return int(traces.pilot["error_code"]) % 256


def main() -> int:
    """Command line."""
    args = parse(sys.argv[1:])
    refuse_if_dangerous()
    prepare(args)
    return run(args)


if __name__ == "__main__":
    sys.exit(main())
