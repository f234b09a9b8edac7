"""THE table of what processes count: each metric once, with what it means; rooms count into it, /metrics shows it.

Labels come from closed sets, or are bounded by the tally: never a job's id, never a user.
"""

from panda_fsm.tally import Tally

TALLY = Tally()
"""Of this process."""

_QUICK_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_SLOW_S = (0.05, 0.25, 1, 5, 15, 60, 300, 900, 3600, 14_400, 43_200, 86_400, 259_200, 604_800)
_AGES_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, 30, 120, 600, 3600, 86_400)
_SIZES = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 5000)

# Jobs, counted by whoever makes the step, once it is committed.
TRANSITIONS = TALLY.counter(
    "panda_transitions_total", "Steps of jobs, by the service that made them; `none`: the job was created.",
    ("from", "to", "service"),
)  # fmt: skip
STAYED = TALLY.histogram(
    "panda_transition_seconds", "How long a job had been in the state that a step left. The claim does not know it.",
    ("from", "to"), _SLOW_S,
)  # fmt: skip
ENDED = TALLY.counter("panda_jobs_ended_total", "Jobs that ended, by queue and final state.", ("site", "state"))

# Messages, counted once a batch.
BATCH_MESSAGES = TALLY.histogram("panda_batch_messages", "Messages that were handled together.", ("queue",), _SIZES)
BATCH_SECONDS = TALLY.histogram(
    "panda_batch_seconds", "How long a batch took; the rate of its sum is the share of time that the worker is busy.",
    ("queue",), _QUICK_S,
)  # fmt: skip
MESSAGES = TALLY.counter(
    "panda_messages_total", "Messages that were `handled`, `deferred` (they come again) or `buried` (dead letters).",
    ("queue", "outcome"),
)  # fmt: skip
IGNORED = TALLY.counter(
    "panda_ignored_total", "Decisions that changed nothing, for the message came late or again.", ("queue",)
)
MESSAGE_AGE = TALLY.histogram(
    "panda_message_age_seconds",
    "Time from making a message until what it asks was committed; of the first of each batch.",
    ("queue",),
    _AGES_S,
)
RETRIES = TALLY.counter(
    "panda_batch_retries_total", "Batches that could not be handled for the moment and are tried again.", ("queue",)
)
BREAKER = TALLY.gauge(
    "panda_breaker_open", "1: messages fail one after the other, all alike, so that none is to blame.", ("queue",)
)
TROUBLE = TALLY.gauge(
    "panda_in_trouble", "1: this part of the process cannot do its work; `panda-fsm health` says why.", ("part",)
)

# The broker.
PUBLISHED = TALLY.counter(
    "panda_published_total",
    "Messages by what the broker said: `confirmed`, `returned` (no queue takes it), `declined`, `refused` (no broker"
    " ever takes it), `unknown` (no answer in time: they are published again).",
    ("connection", "outcome"),
)
CONFIRMS = TALLY.gauge("panda_confirms_waiting", "Messages that the broker has not confirmed yet.", ("connection",))
CONNECTED = TALLY.counter("panda_broker_connects_total", "Connections to the broker that worked.", ("connection",))
LEFT = TALLY.counter(
    "panda_outbox_left_total", "Messages that their service did not get to the broker and left to the relay.",
    ("service",),
)  # fmt: skip
RELAYED = TALLY.counter(
    "panda_outbox_relayed_total", "Messages that the relay published, of the `outbox` or of kept `requests`.",
    ("source",),
)  # fmt: skip

# The database.
POOL_SIZE = TALLY.gauge("panda_pool_connections", "Database connections of the pool.", ("pool",))
POOL_IDLE = TALLY.gauge("panda_pool_idle", "Of those, the ones that nobody uses.", ("pool",))
POOL_WAITING = TALLY.gauge("panda_pool_waiting", "Who waits for a connection now.", ("pool",))
POOL_WAITS = TALLY.counter("panda_pool_waits_total", "Who had to wait for a connection.", ("pool",))
POOL_WAITED = TALLY.counter("panda_pool_waited_seconds_total", "How long they waited altogether.", ("pool",))
POOL_ERRORS = TALLY.counter("panda_pool_errors_total", "Who got no connection in time.", ("pool",))

# The gateway.
REQUESTS = TALLY.counter("panda_requests_total", "Requests, by route and status of the answer.", ("route", "status"))
REQUEST_SECONDS = TALLY.histogram(
    "panda_request_seconds", "From the head of a request to the end of its answer.", ("route",), _QUICK_S
)
WAITING = TALLY.gauge("panda_requests_waiting", "Requests that wait for their answer now.")
REFUSALS = TALLY.counter(
    "panda_refusals_total", "Requests that were refused or not accepted, by kind of reason.", ("reason",)
)
ACQUIRES = TALLY.counter("panda_acquires_total", "Pilots that asked for jobs, and got a `job` or `no_job`.",
                         ("site", "answer"))  # fmt: skip
LOOP_LAG = TALLY.histogram(
    "panda_event_loop_lag_seconds", "How much later than asked for the event loop does what is due.", (), _QUICK_S
)
MEAN = TALLY.gauge(
    "panda_gateway_request_seconds", "A: mean processor time of a request over the last minute, of this gateway."
)
RATE = TALLY.gauge("panda_gateway_requests_per_second", "R: requests a second over the last minute, of this gateway.")
BUSY = TALLY.gauge(
    "panda_gateway_busy_ratio",
    "A × R: the part of its event loop that a gateway needed over the last minute. One loop is on one core, so M × W"
    " (machines × gateways on each) is the sum that there is, and the sum over all gateways must stay below it.",
)
HEADROOM = TALLY.gauge(
    "panda_gateway_headroom_ratio",
    "M × W / (A × R) of this gateway alone: so many times the present load it could take before requests queue up. Of"
    " all of them: count(panda_gateway_busy_ratio) / sum(panda_gateway_busy_ratio). Below 1.3 start another gateway.",
)

# The daemon.
DUTY_SECONDS = TALLY.histogram("panda_duty_seconds", "How long a slice of a duty took.", ("duty",), _QUICK_S)
DUTY_FAILURES = TALLY.counter("panda_duty_failures_total", "Slices of duties that failed; they are tried again.",
                              ("duty",))  # fmt: skip
DUTY_SILENT = TALLY.gauge(
    "panda_duty_silent_seconds",
    "Since when this daemon has not done a duty with success: of all daemons take the least. Nothing of a paused one.",
    ("duty",),
)
DUTY_PERIOD = TALLY.gauge("panda_duty_period_seconds", "How often it is done.", ("duty",))

SYSTEM = Tally()
"""Of the whole installation: each daemon reads them in the database. Where several daemons run, all show the same."""

SYSTEM.gauge("panda_jobs", "Live jobs, and those that ended and are not archived yet.", ("state", "site"), most=10_000)
SYSTEM.gauge("panda_outbox_messages", "Messages that were decided and not confirmed yet, as far as they are counted.")
SYSTEM.gauge(
    "panda_outbox_oldest_seconds", "How long the oldest of them waits. Above a minute: no relay, or no broker."
)
SYSTEM.gauge("panda_outbox_put_off", "Of them, those that the broker did not take: tried again, in the end buried.")
SYSTEM.gauge("panda_kept_requests", "Requests that were accepted and not handled yet, as far as they are counted.")
SYSTEM.gauge("panda_kept_requests_oldest_seconds", "How long the oldest of them waits.")
SYSTEM.gauge("panda_queue_messages", "Messages that wait in a queue, as the broker says.", ("queue",))
SYSTEM.gauge("panda_queue_consumers", "Who reads it.", ("queue",))
SYSTEM.gauge("panda_queue_oldest_seconds", "How long its oldest message waits, by all that came and went.", ("queue",))
SYSTEM.gauge("panda_dead_letters_open", "Messages that nobody could handle, by the queue they were in.", ("queue",))
SYSTEM.gauge("panda_stuck_jobs", "Jobs that have not moved, by the rule that says so.", ("rule", "site"))
SYSTEM.gauge("panda_appointments_in_trouble", "Jobs that the daemon or the archive cannot read.")
SYSTEM.gauge("panda_jedi_untold_messages", "What JEDI is to be told and was not yet, as far as it is counted.")
SYSTEM.gauge("panda_jedi_untold_oldest_seconds", "How long the oldest of it waits.")
SYSTEM.gauge("panda_partition_horizon_seconds", "How long there are month partitions for.", ("table",))
SERVICES = SYSTEM.gauge("panda_service_processes", "Processes of a service that gave a sign within 20 s.", ("service",))
SYSTEM.gauge("panda_processes_in_trouble", "Of them, those that cannot do their work.", ("service",))
SYSTEM.gauge("panda_gateways", "M × W: gateway processes, each with one event loop.")
SYSTEM.gauge("panda_gateway_machines", "M: machines on which there are gateways.")
SYSTEM.gauge("panda_pulse_silent_seconds", "Since when `gateway` or `daemon` have not ticked.", ("name",))
SYSTEM.gauge("panda_transaction_oldest_seconds", "Age of the oldest open transaction: until it ends dead rows stay.")
SYSTEM.gauge(
    "panda_database_connections", "Connections to the database server: those `used`, and the `most` that there may be.",
    ("state",),
)  # fmt: skip
