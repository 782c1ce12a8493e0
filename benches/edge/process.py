"""Whole process trees: their CPU time, their memory, their end. And ports that are free."""

import os
import re
import signal
import socket
import subprocess
import time

TICKS = os.sysconf("SC_CLK_TCK")
scratch = None  # the folder of this run, set by `run`


def stat(pid):
    """The fields of /proc/PID/stat after the name, which may hold anything."""
    with open("/proc/%d/stat" % pid) as file:
        return file.read().rpartition(")")[2].split()


def tree(root):
    """The process and everything below it."""
    parents = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                parents[int(name)] = int(stat(int(name))[1])
            except (OSError, IndexError):
                continue
    found = [root] if root in parents else []
    for pid in found:  # grows while it is walked
        found.extend(child for child, parent in parents.items() if parent == pid)
    return found


def cpu_seconds(root):
    """User and system time of the tree, ended threads included.

    The kernel's CPU clock of each process, in nanoseconds; the same figure in /proc/PID/stat is rounded to 10 ms.
    """
    total = 0.0
    for pid in tree(root):
        try:
            total += time.clock_gettime((~pid << 3) | 2)  # clock_getcpuclockid(3)
        except OSError:
            try:
                fields = stat(pid)
            except OSError:
                continue
            total += (int(fields[11]) + int(fields[12])) / TICKS
    return total


def memory_kib(root):
    """What the tree holds of its own, and the sum of what its processes see.

    Own is anonymous and shared memory, each page once, and the files that the largest process has mapped: another
    instance of the same program, running beside it, makes neither smaller.
    """
    rss = anonymous = files = 0
    for pid in tree(root):
        try:
            with open("/proc/%d/smaps_rollup" % pid) as file:
                rollup = dict(re.findall(r"^(\w+):\s+(\d+) kB", file.read(), re.MULTILINE))
            with open("/proc/%d/status" % pid) as file:
                mapped = int(re.search(r"RssFile:\s+(\d+)", file.read())[1])
        except (OSError, TypeError):
            continue
        rss += int(rollup["Rss"])
        anonymous += int(rollup["Pss_Anon"]) + int(rollup["Pss_Shmem"])
        files = max(files, mapped)
    return {"own": anonymous + files, "rss": rss}


def start(command, log):
    """A process in the background; what it says goes to a file."""
    with open(log, "ab") as file:
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=file, stderr=file)


def stop(process, patience=5.0):
    """Asks, then insists; whole trees, by pid."""
    if process.poll() is not None:
        return
    pids = tree(process.pid)
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(patience)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    end = time.monotonic() + 2
    for pid in pids[1:]:
        while time.monotonic() < end and os.path.exists("/proc/%d" % pid):
            time.sleep(0.02)
        try:
            if os.path.exists("/proc/%d" % pid):
                os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass


def free_ports(count):
    """Ports that nobody listens on now."""
    held = [socket.socket() for _ in range(count)]
    try:
        for one in held:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in held]
    finally:
        for one in held:
            one.close()
