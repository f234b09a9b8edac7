"""What a task is to do, as a user describes it, and the jobs' templates that are made of it."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

SERIAL, ATTEMPT = "{serial}", "{attempt}"
"""Replaced in names of outputs and in parameters: each job's outputs have a number of their own."""


class InputFile(BaseModel):
    """An input that is somewhere already; `fsize` in bytes, `checksum` as ad:1a2b3c4d."""

    model_config = ConfigDict(frozen=True)
    lfn: str
    scope: str | None = None
    dataset: str | None = None
    guid: str | None = None
    fsize: int = 0
    checksum: str | None = None


class TaskSpec(BaseModel):
    """What is to be done.

    `parameters` are each job's; {number}, {input}, {output}, {serial} and {attempt} are replaced. `maxwalltime` is in
    seconds, `minramcount` and `maxdiskcount` in MB. There are as many pieces of work as `inputs`, else as `jobs`. Of
    every `spoil_every`th the first job gets `spoil_with` added to its parameters: to see it fail and be done again.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    taskid: Annotated[int, Field(ge=1)]
    vo: str
    user: str
    name: str
    site: str
    transformation: str
    parameters: str = ""
    jobs: Annotated[int, Field(ge=0)] = 0
    inputs: tuple[InputFile, ...] = ()
    label: str = "managed"
    scope: str | None = None
    suffix: str = "root"
    destination: str | None = None
    priority: int = 900
    gshare: str | None = None
    workinggroup: str | None = None
    processingtype: str = "simul"
    corecount: int = 1
    minramcount: int = 100
    maxdiskcount: int = 10
    maxwalltime: int = 3600
    maxattempt: Annotated[int, Field(ge=1)] = 3
    maxfailure: Annotated[int, Field(ge=1)] = 3
    spoil_every: Annotated[int, Field(ge=0)] = 0
    spoil_with: str = ""

    def templates(self) -> list[dict[str, Any]]:
        """A JobSpec by JEDI's names for each piece of work; PandaIDs, attempts and ids of files are the task's."""
        inputs: tuple[InputFile | None, ...] = self.inputs or (None,) * self.jobs
        return [self._template(number, one) for number, one in enumerate(inputs, start=1)]

    def spoils(self, number: int) -> str:
        """What the parameters of the first job for a piece of work get added."""
        return f" {self.spoil_with}" if self.spoil_every and number % self.spoil_every == 0 else ""

    def _template(self, number: int, one: InputFile | None) -> dict[str, Any]:
        output = f"{self.name}.{self.taskid}._{SERIAL}.{self.suffix}"
        named = {"{number}": str(number), "{input}": one.lfn if one else "", "{output}": output}
        parameters = self.parameters
        for name, value in named.items():
            parameters = parameters.replace(name, value)
        products = [
            self._product("output", output),
            self._product("log", f"{self.name}.{self.taskid}._{SERIAL}.log.tgz"),
        ]
        return {
            "jobDefinitionID": 0, "jobName": self.name, "VO": self.vo, "taskID": self.taskid, "reqID": self.taskid,
            "jobsetID": self.taskid, "prodSourceLabel": self.label, "job_label": self.label,
            "processingType": self.processingtype, "workingGroup": self.workinggroup, "gshare": self.gshare,
            "computingSite": self.site, "transformation": self.transformation, "jobParameters": parameters,
            "assignedPriority": self.priority, "currentPriority": self.priority, "coreCount": self.corecount,
            "minRamCount": self.minramcount, "minRamUnit": "MB", "maxDiskCount": self.maxdiskcount,
            "maxDiskUnit": "MB", "maxWalltime": self.maxwalltime, "maxCpuCount": self.maxwalltime,
            "destinationDBlock": products[0]["destinationDBlock"], "destinationSE": self.destination,
            "Files": [self._input(one), *products],
        }  # fmt: skip

    def _input(self, one: InputFile | None) -> dict[str, Any]:
        if one is None:
            return {"type": "pseudo_input", "lfn": "pseudo_lfn", "dataset": "pseudo_dataset", "fsize": 0}
        return {
            "type": "input", "lfn": one.lfn, "scope": one.scope or self.scope, "GUID": one.guid,
            "dataset": one.dataset, "prodDBlock": one.dataset, "fsize": one.fsize, "checksum": one.checksum,
        }  # fmt: skip

    def _product(self, kind: str, lfn: str) -> dict[str, Any]:
        dataset = f"{self.name}.{self.taskid}.{kind}"
        return {
            "type": kind, "lfn": lfn, "scope": self.scope, "dataset": dataset, "destinationDBlock": dataset,
            "destinationSE": self.destination, "fsize": 0,
        }  # fmt: skip
