"""Free main memory: of the machine, and of the limit that a container, a service or a job scheduler sets by control groups.

The kernel kills a process that goes beyond the limit, however much the machine has free (Linux, cgroup v2 and v1).
"""

from __future__ import annotations

from pathlib import Path

import psutil

GROUPS = Path("/sys/fs/cgroup")
OWN = Path("/proc/self/cgroup")  # lines NUMBER:CONTROLLERS:PATH of this process's groups
# Limit, usage, and the part of the usage that is cached files which no process has used lately: the kernel gives that back.
V2 = ("memory.max", "memory.current", "inactive_file")
V1 = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")


def free() -> int:
    """Bytes that this process can still take."""
    return min([psutil.virtual_memory().available, *limits_left()])


def limits_left() -> list[int]:
    """Bytes left under each limit on this process: those of its own group and of the groups around it."""
    lines = OWN.read_text().splitlines() if OWN.is_file() else []
    left = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers in ("", "memory"):
            root, names = (GROUPS / "memory", V1) if controllers else (GROUPS, V2)
            folder = root / path.strip("/")
            # In a container the path may be that of the host, and the container's own group lies at the root.
            around = [folder, *folder.parents]
            groups = around[: around.index(root) + 1] if root in around else [root]
            left += [bytes_left for group in groups if (bytes_left := _left(group, names)) is not None]
    return left


def _left(group: Path, names: tuple[str, str, str]) -> int | None:
    """Bytes left in a group; None if it has no limit, or its files cannot be read."""
    limit, usage, cached = names
    try:
        most, used = int((group / limit).read_text()), int((group / usage).read_text())
        listed = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
        return max(0, most - used + min(used, int(listed.get(cached, 0))))
    except (OSError, ValueError):  # no such group; or the word "max"
        return None
