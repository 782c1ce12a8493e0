"""One load on one server: what it was asked, how long it took, and the CPU time of the server's whole tree."""

import json
import pathlib
import re
import select
import subprocess
import sys
import time

import process
import servers

HERE = pathlib.Path(__file__).resolve().parent
RATE = 3000  # requests a second of the open load; `run --quick` lowers it
PARKED = 4  # seconds after which a server has given back what it gives back on idle connections
OPENING = 120  # seconds that opening thousands of connections may take
SMALL, PAGE, MEGABYTE, POST = "/small", "/page.html", "/megabyte.bin", "/post"


class Failed(Exception):
    """A load whose figures mean nothing."""


def run(command, seconds):
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds * 3 + 30, stdin=subprocess.DEVNULL)
    if done.returncode != 0:
        raise Failed("%s: %s" % (command[0], (done.stderr or done.stdout).strip()[-500:]))
    return done.stdout


def milliseconds(text):
    value, unit = re.fullmatch(r"([\d.]+)(us|ms|s|m)", text).groups()
    return float(value) * {"us": 0.001, "ms": 1, "s": 1000, "m": 60000}[unit]


def wrk(port, path, seconds, connections, script=None):
    """HTTP/1.1 as fast as the connections go."""
    command = [servers.tool("wrk"), "-t", "2", "-c", str(connections), "-d", "%ds" % seconds, "--latency"]
    if script:
        command += ["-s", str(HERE / script)]
    out = run(command + ["https://localhost:%d%s" % (port, path)], seconds)
    requests, took = re.search(r"(\d+) requests in ([\d.]+\w+)", out).groups()
    bad = re.search(r"Non-2xx or 3xx responses: (\d+)", out)
    broken = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", out)
    errors = (int(bad[1]) if bad else 0) + (sum(map(int, broken.groups())) if broken else 0)
    latency = dict(re.findall(r"(50|99)%\s+([\d.]+\w+)", out))
    return {
        "requests": int(requests),
        "errors": errors,
        "seconds": milliseconds(took) / 1000,
        "p50_ms": milliseconds(latency["50"]),
        "p99_ms": milliseconds(latency["99"]),
    }


def h2load(arguments, port, path, seconds):
    out = run([servers.tool("h2load"), *arguments, "-D", str(seconds), "https://localhost:%d%s" % (port, path)], seconds)
    found = re.search(
        r"requests: \d+ total, \d+ started, (\d+) done, (\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout", out)
    if not found:
        raise Failed("h2load: " + out[-500:])
    done, succeeded = int(found[1]), int(found[2])
    took = re.search(r"finished in ([\d.]+\w+)", out)[1]
    return {"requests": done, "errors": done - succeeded, "seconds": milliseconds(took) / 1000}


def h2(port, seconds):
    return h2load(["-t", "2", "-c", "16", "-m", "10"], port, SMALL, seconds)


def rate(port, seconds):
    """HTTP/1.1 at a fixed rate over sixty connections: each sends on its own clock, busy or not."""
    log = process.scratch / "rate.log"
    log.unlink(missing_ok=True)
    clients = 60
    result = h2load(
        ["--h1", "-t", "1", "-c", str(clients), "--rps", str(RATE // clients), "--log-file", str(log)], port, SMALL, seconds)
    with open(log) as file:
        took = sorted(int(line.split("\t")[2]) for line in file)
    log.unlink()
    if not took:
        raise Failed("h2load wrote no times")
    result["p50_ms"], result["p99_ms"] = (took[min(len(took) - 1, int(len(took) * q))] / 1000 for q in (0.50, 0.99))
    if result["requests"] < RATE * seconds * 0.97:
        raise Failed("only %d of %d requests were sent in time" % (result["requests"], RATE * seconds))
    return result


def handshakes(port, seconds, kind):
    """A fixed number of TLS 1.3 handshakes, so that every server does the same work."""
    count = 1000 * seconds
    out = run([sys.executable, str(HERE / "client.py"), "handshakes", str(port), str(count), kind], seconds * 10)
    result = json.loads(out)
    if result["error"]:
        raise Failed(result["error"])
    if kind == "resumed" and result["resumed"] < result["requests"] * 0.99:
        raise Failed("only %d of %d handshakes were resumed" % (result["resumed"], result["requests"]))
    if kind == "full" and result["resumed"]:
        raise Failed("%d handshakes were resumed" % result["resumed"])
    return result


LOADS = {
    "h1": lambda port, seconds: wrk(port, SMALL, seconds, 32),
    "h2": h2,
    "page": lambda port, seconds: wrk(port, PAGE, seconds, 32),
    "post": lambda port, seconds: wrk(port, POST, seconds, 32, "post.lua"),
    "download": lambda port, seconds: wrk(port, MEGABYTE, seconds, 8),
    "full": lambda port, seconds: handshakes(port, seconds, "full"),
    "resumed": lambda port, seconds: handshakes(port, seconds, "resumed"),
    "rate": rate,
}


def measure(kind, server, seconds):
    """One load with the CPU time that it cost the server; one that failed is tried once more."""
    try:
        return once(kind, server, seconds)
    except (Failed, subprocess.TimeoutExpired):
        time.sleep(1)
        return once(kind, server, seconds)


def once(kind, server, seconds):
    before = process.cpu_seconds(server.pid)
    result = LOADS[kind](server.port, seconds)
    result["cpu_seconds"] = round(process.cpu_seconds(server.pid) - before, 6)
    if server.running.poll() is not None:
        raise Failed("%s ended during the load" % server.name)
    if not result["requests"] or result["errors"] > result["requests"] * 0.0005:
        raise Failed("%d errors in %d requests" % (result["errors"], result["requests"]))
    result["cpu_us"] = round(result["cpu_seconds"] / result["requests"] * 1e6, 2)
    result["per_second"] = round(result["requests"] / result["seconds"], 1)
    return result


class Client:
    """A client that opens its connections, says "ready", and goes on when it is told to. Ends with the `with`."""

    def __init__(self, server, *arguments):
        self.server = server
        self.running = subprocess.Popen(
            [sys.executable, str(HERE / "client.py"), *map(str, arguments)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def __enter__(self):
        said = select.select([self.running.stdout], [], [], OPENING)[0]
        if not said or self.running.stdout.readline().strip() != "ready":
            self.__exit__()
            raise Failed("%s: the connections could not be opened" % self.server.name)
        return self

    def __exit__(self, *_):
        if self.running.poll() is None:
            self.running.kill()
        self.running.wait()

    def finish(self, word, seconds):
        left, _ = self.running.communicate(word, timeout=seconds)
        try:
            return json.loads(left)
        except ValueError:
            raise Failed("%s: the client ended early: %s" % (self.server.name, left[-200:])) from None


def hold(server, count):
    return Client(server, "idle", server.port, count)


def all_open(server, holder, count):
    still = holder.finish("", 30)["open"]
    if still < count:
        raise Failed("%s closed %d of %d idle connections" % (server.name, count - still, count))


def idle(server, count):
    """Memory before and with `count` open TLS connections that did one request each."""
    measure("h1", server, 1)  # pools and caches are filled, so that only the connections are counted
    time.sleep(3)
    before = process.memory_kib(server.pid)
    with hold(server, count) as holder:
        time.sleep(PARKED)
        held = process.memory_kib(server.pid)
        all_open(server, holder, count)
    return {
        "connections": count,
        "before_kib": before,
        "held_kib": held,
        "per_connection_kib": round((held["own"] - before["own"]) / count, 2),
    }


def sparse(server, per_second, period_ms, seconds):
    """CPU per request of connections that ask once per period: idle for longer than a second, they are parked between."""
    count = max(1, per_second * period_ms // 1000)
    with Client(server, "sparse", server.port, count, period_ms, seconds) as client:
        time.sleep(PARKED)
        before = process.cpu_seconds(server.pid)
        result = client.finish("\n", seconds * 3 + 30)
        result["cpu_seconds"] = round(process.cpu_seconds(server.pid) - before, 6)
    result["cpu_us"] = round(result["cpu_seconds"] / result["requests"] * 1e6, 2)
    return result


def start(server):
    """Milliseconds from exec to the first answer; the site asked for is the last of many."""
    import client
    made = client.context()
    command = server.command()
    began = time.monotonic()
    server.running = process.start(command, server.folder / "output")
    while True:
        try:
            with client.connect(made, server.port) as tls:
                client.request(tls, server.port)
                return round((time.monotonic() - began) * 1000, 1)
        except ConnectionRefusedError:
            time.sleep(0.0005)
        if server.running.poll() is not None or time.monotonic() - began > 20:
            raise Failed("%s does not start:\n%s" % (server.name, (server.folder / "output").read_text()[-1000:]))
