"""PanDA's attribute names in the order of its positional arrays, and their names inside panda-fsm."""

import re
from functools import lru_cache


def words(text: str) -> tuple[str, ...]:
    """The words of a text: how long lists of names are written here."""
    return tuple(text.split())


JOB_ATTRIBUTES = words(
    """
    PandaID jobDefinitionID schedulerID pilotID creationTime creationHost modificationTime
    modificationHost AtlasRelease transformation homepackage prodSeriesLabel prodSourceLabel prodUserID
    assignedPriority currentPriority attemptNr maxAttempt jobStatus jobName maxCpuCount maxCpuUnit
    maxDiskCount maxDiskUnit ipConnectivity minRamCount minRamUnit startTime endTime cpuConsumptionTime
    cpuConsumptionUnit commandToPilot transExitCode pilotErrorCode pilotErrorDiag exeErrorCode
    exeErrorDiag supErrorCode supErrorDiag ddmErrorCode ddmErrorDiag brokerageErrorCode
    brokerageErrorDiag jobDispatcherErrorCode jobDispatcherErrorDiag taskBufferErrorCode
    taskBufferErrorDiag computingSite computingElement jobParameters metadata prodDBlock dispatchDBlock
    destinationDBlock destinationSE nEvents grid cloud cpuConversion sourceSite destinationSite
    transferType taskID cmtConfig stateChangeTime prodDBUpdateTime lockedby relocationFlag
    jobExecutionID VO pilotTiming workingGroup processingType prodUserName nInputFiles countryGroup
    batchID parentID specialHandling jobsetID coreCount nInputDataFiles inputFileType inputFileProject
    inputFileBytes nOutputDataFiles outputFileBytes jobMetrics workQueue_ID jediTaskID jobSubStatus
    actualCoreCount reqID maxRSS maxVMEM maxSWAP maxPSS avgRSS avgVMEM avgSWAP avgPSS maxWalltime
    nucleus eventService failedAttempt hs06sec gshare hs06 totRCHAR totWCHAR totRBYTES totWBYTES
    rateRCHAR rateWCHAR rateRBYTES rateWBYTES resource_type diskIO memory_leak memory_leak_x2
    container_name job_label gco2_regional gco2_global cpu_architecture_level outputFileType
    """
)
"""The 126 attributes of a job. Old clients send fewer: theirs are a prefix of these."""

FILE_ATTRIBUTES = words(
    """
    rowID PandaID GUID lfn type dataset status prodDBlock prodDBlockToken dispatchDBlock
    dispatchDBlockToken destinationDBlock destinationDBlockToken destinationSE fsize md5sum checksum
    scope
    """
)
"""The 18 attributes of a file."""

_EXCEPTIONS = {
    "AtlasRelease": "software_release",
    "homepackage": "home_package",
    "jobsetID": "jobset_id",
    "prodDBlock": "prod_block",
    "prodDBlockToken": "prod_block_token",
    "dispatchDBlock": "dispatch_block",
    "dispatchDBlockToken": "dispatch_block_token",
    "destinationDBlock": "destination_block",
    "destinationDBlockToken": "destination_block_token",
}
"""Names whose words their capital letters do not show."""

_WORD = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


@lru_cache(maxsize=1024)
def snake(name: str) -> str:
    """The name inside panda-fsm; a name that is snake_case already stays as it is."""
    known = _EXCEPTIONS.get(name)
    return known if known is not None else _WORD.sub("_", name).lower().replace("__", "_")


SNAKE_JOB_ATTRIBUTES = tuple(snake(name) for name in JOB_ATTRIBUTES)
SNAKE_OF = dict(zip(JOB_ATTRIBUTES, SNAKE_JOB_ATTRIBUTES, strict=True))
"""By PanDA's name, the one inside panda-fsm."""
