"""Ends a process whose interpreter somebody keeps: code that neither comes to an end nor lets another thread run.

Such code, as a regular expression that tries for ever, stops whatever else would notice it. So a thread says now and
then that it still has its turn, and where it does not the system ends the process, without a word of Python.
"""

import faulthandler
import signal
import threading
import time

_SAY_S = 5.0


def watch(busy_s: float, blocked_s: float) -> None:
    """End this process, with what each thread is doing on stderr, once none had its turn while it computed for `busy_s`
    seconds, or for `blocked_s` seconds of the clock.

    Whoever is stopped and woken, or has no processor, does not compute, and is not ended for that so soon.
    """
    faulthandler.register(signal.SIGPROF, chain=True)
    say_s = min(_SAY_S, busy_s / 4, blocked_s / 4)
    threading.Thread(target=_say, args=(busy_s, blocked_s, say_s), name="frozen", daemon=True).start()


def _say(busy_s: float, blocked_s: float, say_s: float) -> None:
    while True:
        signal.setitimer(signal.ITIMER_PROF, busy_s)
        faulthandler.dump_traceback_later(blocked_s, exit=True)
        time.sleep(say_s)
