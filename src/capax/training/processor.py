"""What this process may use of its machine: cores, and which processor they are."""

import functools
import hashlib
import math
import os
import platform
import sys
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")
OWN_CGROUP = Path("/proc/self/cgroup")
CPUINFO = Path("/proc/cpuinfo")
INSTRUCTIONS = ("avx512f", "avx2", "avx", "sse4_2", "sve", "asimd", "neon")
"""Vector instructions, as Linux names them, the widest of a kind of processor first."""


def cores() -> int:
    """How many cores this process may use: at least 1.

    The smallest of what the system has, what the process is bound to (`taskset`), and the CPU quota
    of its control group (a container's limit), rounded up.
    """
    bound = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    return max(1, math.ceil(min(bound, _quota())))


def _quota() -> float:
    """The CPU quota of this process's control group and of those above it, in cores; infinite where
    there is none."""
    try:
        lines = OWN_CGROUP.read_text(encoding="utf-8").splitlines()
    except OSError:
        return math.inf
    quotas = [math.inf]
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        root = CGROUPS / controllers if controllers else CGROUPS
        place = root / path.lstrip("/")
        # In a container the path may be the host's, which is not there: the root is our own group.
        quotas += [_quota_of(folder) for folder in (place, *place.parents) if folder.is_relative_to(root)]
    return min(quotas)


def _quota_of(folder: Path) -> float:
    """The quota of one control group, of version 2 or 1."""
    try:
        if (folder / "cpu.max").exists():
            quota, period = (folder / "cpu.max").read_text(encoding="utf-8").split()
        else:
            quota = (folder / "cpu.cfs_quota_us").read_text(encoding="utf-8").strip()
            period = (folder / "cpu.cfs_period_us").read_text(encoding="utf-8").strip()
        return math.inf if quota in ("max", "-1") else int(quota) / int(period)
    except (OSError, ValueError, ZeroDivisionError):
        return math.inf


@functools.cache
def name() -> str:
    """The processor, as its maker calls it."""
    return _told("model name") or platform.processor() or platform.machine()


@functools.cache
def instructions() -> str:
    """The widest vector instructions that the processor has, such as "avx512f"; else the
    architecture's name."""
    features = f"{_told('flags')} {_told('Features')}".split()
    return next((each for each in INSTRUCTIONS if each in features), platform.machine())


@functools.cache
def fingerprint() -> str:
    """Twelve letters that are the same where compiled programs may be shared: name and features of
    the processor."""
    told = [_told(key) for key in ("model name", "flags", "Features")]
    features = "\n".join(told if any(told) else [platform.machine(), platform.processor()])
    return hashlib.sha256(features.encode()).hexdigest()[:12]


@functools.cache
def _told(key: str) -> str:
    """The first entry of this name in the system's description of its processors, empty where there
    is none."""
    try:
        lines = CPUINFO.read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    entries = (line.partition(":") for line in lines)
    return next((value.strip() for entry, _, value in entries if entry.strip() == key), "")
