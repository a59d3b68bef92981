"""Cores that may be used: bound processes, containers with a quota, neither."""

import math
import subprocess
import sys

import pytest

from capax.training import processor


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A machine of 16 cores whose control groups are files in `tmp_path`."""
    monkeypatch.setattr(processor, "CGROUPS", tmp_path / "cgroup")
    monkeypatch.setattr(processor, "OWN_CGROUP", tmp_path / "self")
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(16)))
    monkeypatch.setattr("os.cpu_count", lambda: 16)

    def write(own, **files):
        (tmp_path / "self").write_text(own)
        for name, content in files.items():
            path = tmp_path / "cgroup" / name.replace("__", "/").replace("_dot_", ".")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)

    return write


def test_without_control_groups_all_cores_count(machine):
    assert processor.cores() == 16


@pytest.mark.parametrize(
    ("quota", "cores"), [("150000 100000", 2), ("400000 100000", 4), ("max 100000", 16), ("50000 100000", 1)]
)
def test_a_quota_counts_rounded_up(machine, quota, cores):
    machine("0::/box\n", box__cpu_dot_max=quota)
    assert processor.cores() == cores


def test_the_smallest_quota_on_the_way_up_holds(machine):
    machine("0::/outer/inner\n", outer__cpu_dot_max="300000 100000", outer__inner__cpu_dot_max="max 100000")
    assert processor.cores() == 3


def test_inside_a_container_the_root_is_its_own_group(machine):
    """The path is the host's and does not exist inside."""
    machine("0::/docker/0123\n", cpu_dot_max="200000 100000")
    assert processor.cores() == 2


def test_control_groups_of_version_1_count(machine):
    own = "4:memory:/job\n3:cpu,cpuacct:/job\n"
    machine(
        own, **{"cpu,cpuacct__job__cpu_dot_cfs_quota_us": "250000", "cpu,cpuacct__job__cpu_dot_cfs_period_us": "100000"}
    )
    assert processor.cores() == 3
    machine(own, **{"cpu,cpuacct__job__cpu_dot_cfs_quota_us": "-1"})
    assert processor.cores() == 16


def test_a_bound_process_counts_what_it_is_bound_to(machine, monkeypatch):
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {3})
    machine("0::/box\n", box__cpu_dot_max="400000 100000")
    assert processor.cores() == 1


def test_the_processor_is_named_and_told_apart():
    assert processor.name() and processor.instructions() and math.isfinite(int(processor.fingerprint(), 16))


def test_counting_cores_loads_nothing_heavy():
    heavy = "import sys; from capax.training import processor; processor.cores(); print({'jax', 'numpy'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", heavy], capture_output=True, text=True).stdout.strip() == "set()"
