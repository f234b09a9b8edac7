"""Finds each experiment's plugin by VO through entry points, and asks all of them side by side, each isolated."""

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from importlib.metadata import EntryPoint, entry_points

from panda_fsm.blocks.states import BlockKind
from panda_fsm.errors import SettingsError
from panda_fsm.jobs.job import LOCAL, Job
from panda_fsm.jobs.report import OutputFile
from panda_fsm.plans import Later, Plan
from panda_fsm.ports import Catalogue, ExperimentPlugin
from panda_fsm.sites import SitesNow
from panda_fsm.trouble import Condition
from plugins.experiments.isolation import Isolated, Question
from plugins.experiments.trial import try_out

Stored = Sequence[tuple[Job, dict[str, OutputFile]]]
"""Jobs, and their stored outputs by LFN."""
GROUP = "panda_fsm.plugins"
DEFAULT = "generic"
LIMIT_S = 30.0
START_S = 1.0
"""A start waits so long for plugins to load; jobs of those that take longer wait themselves."""
_OURS = "plugins.experiments."
MOST_FILES = 50_000
"""Files of the jobs of one question: with hundreds of thousands a plugin takes longer than it is waited for."""
_ITS_TURN = Later("jobs with many files are asked about a few at a time")
_SETUP = Question(lambda plugin, jobs: plugin.setup(jobs), BlockKind.DISPATCH)


class IsolatedExperiments:
    """Every job gets a plan: that of its VO's plugin, `generic` for those without, `Later` where one is in trouble.
    Jobs with the destination `local` are asked about at the plugin of that name.

    A plugin that does not load, or takes long to, keeps nobody else from working, unless it is `generic`.
    """

    def __init__(
        self,
        sites: SitesNow,
        catalogue: Catalogue,
        condition: Condition,
        limit_s: float = LIMIT_S,
        entries: Iterable[EntryPoint] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`condition` is told of each plugin's trouble; `entries` unless those that are installed, of which others than
        ours are tried out in a process apart."""

        def maker(entry: EntryPoint) -> Callable[[], ExperimentPlugin]:
            def make() -> ExperimentPlugin:
                if entries is None and not entry.value.startswith(_OURS):
                    try_out(entry, sites, catalogue)
                plugin: ExperimentPlugin = entry.load()(sites, catalogue)
                return plugin

            return make

        self._experiments = {
            entry.name: Isolated(entry.name, maker(entry), condition, limit_s, clock)
            for entry in (entry_points(group=GROUP) if entries is None else entries)
        }
        self._asked: dict[str, list[Job]] = {}
        self._mistrusted: dict[int, Later] = {}
        if DEFAULT not in self._experiments:
            raise SettingsError(f"no plugin called {DEFAULT}: is panda-fsm installed in this environment?")
        self._load(limit_s)

    def _load(self, limit_s: float) -> None:
        """Side by side. Nothing starts without `generic`; others are not waited for long, for one of them may hang."""
        begun = time.monotonic()
        for one in self._experiments.values():
            one.load()
        for name, one in self._experiments.items():
            one.await_loaded(begun + (limit_s if name == DEFAULT else START_S))
        default = self._experiments[DEFAULT]
        if default.trouble is not None:
            raise SettingsError(f"plugin {DEFAULT} {default.trouble}")

    def setup(self, jobs: Sequence[Job]) -> dict[int, Plan]:
        """A plan for every one of the jobs; trouble of a plugin is `Later` for its own jobs."""
        return self._ask(jobs, _SETUP)

    def add_outputs(self, jobs: Stored) -> dict[int, Plan]:
        """The same for stored outputs."""
        return self._ask_about_outputs(jobs, lambda plugin, part: plugin.add_outputs(part))

    def keep_logs(self, jobs: Stored) -> dict[int, Plan]:
        """The same for the stored logs of jobs that fail."""
        return self._ask_about_outputs(jobs, lambda plugin, part: plugin.keep_logs(part))

    def mistrust(self, job: Job, error: str) -> bool:
        """The last plan for a job could not be written: the next is `Later`. False: there was none of a plugin's."""
        name = self._asked_of(job)
        if name is not None:
            self._mistrusted[job.job_id] = self._experiments[name].unwritable(error)
        return name is not None

    def accuse(self, job: Job, error: str) -> None:
        """That could be written: its experiment is in trouble."""
        self._experiments[self._experiment_of(job)].accuse(job, error)

    def refusal(self, vo: str, lfn: str) -> str | None:
        """Why the experiment's catalogue could never register a file of this name, as far as its rule is known."""
        rule = self._experiments[self._name_of(vo)].names
        return None if rule is None else rule.refusal(lfn)

    def _name_of(self, vo: str) -> str:
        return vo if vo in self._experiments else DEFAULT

    def _experiment_of(self, job: Job) -> str:
        is_local = job.destination == LOCAL and LOCAL in self._experiments
        return LOCAL if is_local else self._name_of(job.vo)

    def _asked_of(self, job: Job) -> str | None:
        """The experiment that was asked about the job last."""
        found = (name for name, jobs in self._asked.items() if any(one.job_id == job.job_id for one in jobs))
        return next(found, None)

    def _ask_about_outputs(self, jobs: Stored, ask: Callable[[ExperimentPlugin, Stored], object]) -> dict[int, Plan]:
        stored = {job.job_id: files for job, files in jobs}

        def ask_of(plugin: ExperimentPlugin, part: Sequence[Job]) -> object:
            return ask(plugin, [(job, stored[job.job_id]) for job in part])

        return self._ask([job for job, _ in jobs], Question(ask_of, BlockKind.SUB))

    def _ask(self, jobs: Sequence[Job], question: Question) -> dict[int, Plan]:
        members: dict[str, list[Job]] = defaultdict(list)
        files: dict[str, int] = defaultdict(int)
        plans: dict[int, Plan] = {}
        if self._mistrusted:
            plans |= {one.job_id: self._mistrusted.pop(one.job_id) for one in jobs if one.job_id in self._mistrusted}
            jobs = [job for job in jobs if job.job_id not in plans]
        for job in jobs:
            name = self._experiment_of(job)
            # The first is asked about in any case, so all are in the end.
            if files[name] and files[name] + len(job.files) > MOST_FILES:
                plans[job.job_id] = _ITS_TURN
            else:
                files[name] += len(job.files)
                members[name].append(job)
        self._asked = members
        under_way = [(name, self._experiments[name].start(part, question)) for name, part in members.items()]
        for name, asked in under_way:
            plans |= self._experiments[name].finish(asked, members[name])
        return plans
