"""Medians, ratios, targets, and the page that tells them."""

import json
import os
import pathlib
import platform
import re
import statistics
import subprocess

import servers

# (load, figure, what it is, unit)
ROWS = [
    ("h1", "cpu_us", "HTTP/1.1 small answer, CPU per request", "µs"),
    ("h2", "cpu_us", "HTTP/2 small answer, CPU per request", "µs"),
    ("page", "cpu_us", "10 KB page, CPU per request", "µs"),
    ("post", "cpu_us", "1 KiB POST, CPU per request", "µs"),
    ("download", "cpu_us", "1 MiB download, CPU per request", "µs"),
    ("full", "cpu_us", "full TLS 1.3 handshake, CPU", "µs"),
    ("resumed", "cpu_us", "resumed TLS 1.3 handshake, CPU", "µs"),
    ("full", "per_cpu_second", "full handshakes per CPU second", "/s"),
    ("resumed", "per_cpu_second", "resumed handshakes per CPU second", "/s"),
    ("h1", "per_second", "HTTP/1.1 small answer, requests/s", "/s"),
    ("h2", "per_second", "HTTP/2 small answer, requests/s", "/s"),
    ("h1", "p99_ms", "HTTP/1.1 p99 at full load", "ms"),
    ("rate", "p50_ms", "HTTP/1.1 p50 at 3,000 requests/s", "ms"),
    ("rate", "p99_ms", "HTTP/1.1 p99 at 3,000 requests/s", "ms"),
    ("rate", "cpu_us", "CPU per request at 3,000 requests/s", "µs"),
    ("memory", "fresh_mib", "memory, fresh", "MiB"),
    ("memory", "after_mib", "memory, after the load run", "MiB"),
    ("memory", "back_s", "memory below 60 MiB after the load run, after", "s"),
    ("idle", "per_connection_kib", "memory per idle TLS connection", "KiB"),
    ("woken", "cpu_us", "CPU per request of a connection idle for 2.5 s", "µs"),
    ("awake", "cpu_us", "CPU per request of a connection idle for 0.8 s", "µs"),
    ("start", "ms", "start to first answer, 100 certificates", "ms"),
]

# (what is promised, load, figure, divided by, at most); no divisor: the figure itself. A run of everything has to measure
# all of them but those of `--before`.
TARGETS = [
    ("HTTP/1.1 CPU ÷ nginx", "h1", "cpu_us", "nginx", 0.90),
    ("HTTP/2 CPU ÷ nginx", "h2", "cpu_us", "nginx", 0.55),
    ("HTTP/2 CPU ÷ HAProxy", "h2", "cpu_us", "haproxy", 0.90),
    ("10 KB page CPU ÷ nginx", "page", "cpu_us", "nginx", 0.95),
    ("1 KiB POST CPU ÷ nginx", "post", "cpu_us", "nginx", 0.95),
    ("1 MiB download CPU ÷ nginx", "download", "cpu_us", "nginx", 0.78),
    ("full handshake CPU ÷ nginx", "full", "cpu_us", "nginx", 0.60),
    ("resumed handshake CPU ÷ nginx", "resumed", "cpu_us", "nginx", 0.66),
    ("p99 at 3,000/s ÷ nginx", "rate", "p99_ms", "nginx", 1.1),
    ("JSON access log on ÷ off", "log", "cpu_us", "palisade-nolog", 1.08),
    ("memory fresh, MiB", "memory", "fresh_mib", None, 20),
    ("memory after load, MiB", "memory", "after_mib", None, 60),
    ("seconds until memory is below 60 MiB", "memory", "back_s", None, 10),
    ("memory per idle TLS connection, KiB", "idle", "per_connection_kib", None, 12),
    ("CPU per request beside idle connections ÷ alone", "beside", "cpu_us", "palisade-alone", 1.02),
    ("HTTP/1.1 CPU ÷ the binary before", "h1", "cpu_us", "palisade-before", 1.02),
    ("HTTP/2 CPU ÷ the binary before", "h2", "cpu_us", "palisade-before", 1.02),
    ("start with 100 certificates, ms", "start", "ms", None, 50),
    ("stripped binary, MB", "binary", "mb", None, 20),
]

NAMES = {
    "palisade": "palisade",
    "palisade-nolog": "palisade, access log off",
    "palisade-before": "palisade, before",
    "nginx": "nginx, plain, no log",
    "nginx-headers": "nginx, headers, no log",
    "nginx-log": "nginx, headers, JSON log",
    "haproxy": "HAProxy, no log",
}


def medians(results):
    """{load: {server: {figure: median}}} of {load: {server: [round, …]}}."""
    out = {}
    for load, by_server in results.items():
        for server, rounds in by_server.items():
            figures = {}
            for figure in {key for one in rounds for key in one}:
                values = [one[figure] for one in rounds if isinstance(one.get(figure), (int, float))]
                if values:
                    figures[figure] = statistics.median(values)
            if load in ("full", "resumed") and figures.get("cpu_us"):
                figures["per_cpu_second"] = 1e6 / figures["cpu_us"]
            out.setdefault(load, {})[server] = figures
    return out


def figure(data, load, server, name):
    return data.get(load, {}).get(server, {}).get(name)


def number(value):
    if value is None:
        return "–"
    return "%.0f" % value if value >= 1000 else "%.1f" % value if value >= 20 else "%.2f" % value


def table(header, rows):
    lines = ["| " + " | ".join(header) + " |", "|" + "|".join(["---"] + ["--:"] * (len(header) - 1)) + "|"]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def figures_table(data):
    present = [name for name in ("palisade", "nginx", "nginx-log", "haproxy") if any(name in by for by in data.values())]
    rows = []
    for load, name, title, unit in ROWS:
        values = [figure(data, load, server, name) for server in present]
        if any(value is not None for value in values):
            rows.append(["%s (%s)" % (title, unit)] + [number(value) for value in values])
    return table(["figure"] + [NAMES[name] for name in present], rows)


def ratios_table(data):
    """Everything relative to palisade; to plain nginx where palisade did not run."""
    base = "palisade" if any("palisade" in by for by in data.values()) else "haproxy"
    others = [name for name in ("nginx", "nginx-log", "haproxy") if name != base]
    rows = []
    for load, name, title, _ in ROWS:
        own = figure(data, load, base, name)
        against = [figure(data, load, other, name) for other in others]
        if own is not None and any(against):
            rows.append([title] + ["%.2f" % (own / other) if other else "–" for other in against])
    return table(["%s ÷ …" % base] + [NAMES[name] for name in others], rows) if rows else ""


def log_table(data):
    pairs = [("palisade", "palisade-nolog"), ("nginx-log", "nginx-headers")]
    rows = []
    for on, off in pairs:
        a, b = figure(data, "log", on, "cpu_us"), figure(data, "log", off, "cpu_us")
        if a and b:
            lines = figure(data, "logged", on, "lines_per_request")
            rows.append([NAMES[on], "%.2f" % b, "%.2f" % a, "%+.1f%%" % ((a / b - 1) * 100), number(lines)])
    return table(["JSON access log, HTTP/1.1 CPU per request (µs)", "off", "on", "cost", "lines per request"], rows) if rows else ""


def judged(data):
    """Each target with its figure, or with none where it was not measured: (title, value, limit)."""
    found = []
    for title, load, name, divisor, limit in TARGETS:
        value = figure(data, load, "palisade", name)
        if divisor and value is not None:
            other = figure(data, load, divisor, name)
            value = value / other if other else None
        found.append((title, value, limit))
    return found


def targets_table(data):
    rows = [[title, "%.2f" % value, "≤ %g" % limit, "reached" if value <= limit else "NOT reached"]
            for title, value, limit in judged(data) if value is not None]
    return table(["target", "measured", "wanted", ""], rows) if rows else ""


def missed_table(data, everything):
    """The targets that were missed; of a run of everything, also those that were not measured. Empty when there is none."""
    before = any("palisade-before" in by for by in data.values())
    rows = []
    for title, value, limit in judged(data):
        if value is not None and value > limit:
            rows.append([title, "%.2f" % value, "≤ %g" % limit, "%+.1f%%" % ((value / limit - 1) * 100)])
        elif value is None and everything and (before or "before" not in title):
            rows.append([title, "–", "≤ %g" % limit, "not measured"])
    return table(["target", "measured", "wanted", "missed by"], rows) if rows else ""


def machine():
    def first(command, pattern):
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=10)
            return re.search(pattern, done.stdout + done.stderr)[1]
        except (OSError, TypeError, subprocess.TimeoutExpired):
            return "?"

    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**30
    return {
        "cores": os.cpu_count(),
        "memory_gib": memory,
        "architecture": platform.machine(),
        "kernel": ".".join(platform.release().split(".")[:2]),
        "nginx": first([servers.tool("nginx"), "-v"], r"nginx/([\d.]+)"),
        "haproxy": first([servers.tool("haproxy"), "-v"], r"version ([\d.]+)"),
        "openssl": first([servers.tool("openssl"), "version"], r"OpenSSL ([\d.]+)"),
        "rustc": first(["rustc", "--version"], r"rustc ([\d.]+)"),
        "h2load": first([servers.tool("h2load"), "--version"], r"nghttp2/([\d.]+)"),
        "wrk": first([servers.tool("wrk"), "-v"], r"/([\d.]+)"),
    }


RUNNING = """## How to run it

On a machine that does nothing else. Each command ends by itself, with everything that it started, says what was missed and
ends with 1 then; `--palisade BINARY` takes one that is built already, `--quick` only shows that the harness works.

| command | what for | takes | writes |
|---|---|--:|---|
| `benches/edge/run` | the targets above, beside nginx and HAProxy | 16 min | this page, `docs/performance/edge.json` |
| `benches/edge/run --before BINARY` | the same, and what changed since another palisade | 19 min | the same |
| `benches/attacks/run --write` | what attacks cost, beside nginx | 10 min | `docs/SECURITY.md`, `docs/performance/attacks.json` |
| `benches/stall/run --write` | one of two upstreams that never answers | 8 min | this page, `docs/performance/stall.json` |
| `benches/reload/run` | a hundred reloads under full load | 1 min | nothing |
| `cargo bench --bench store` | the state | 1 min | this page, `docs/performance/store.json` |
"""

NOTES = """
How it was measured:

- Everything runs on the one machine, over loopback: the load, the server and the app share its cores. So CPU time is
  the figure to compare; requests per second and times under full load say what was left of the cores.
- CPU time is user and system time of the server's whole process tree, from before the first connection of a load to
  after its last, divided by the requests or handshakes that were answered.
- Servers take turns load by load, the order rotates every round, and each figure is the median of the rounds; ratios
  are ratios of medians. A load with errors is tried once more; then the run has failed and writes nothing.
- Every server has two workers or threads, the same self-signed P-256 certificate, TLS 1.2 and 1.3, HTTP/1.1 and HTTP/2,
  the client's cipher order (so the same cipher), and kept-alive connections to the same app (nginx, static answers).
  nginx has a listening socket per
  worker and no limit of requests per connection, both in its favour. Clients offer X25519, so no server spends time
  on a post-quantum group.
- nginx runs twice: plain without a log, and with the response headers that palisade sets, request ids, forwarding
  headers and an unbuffered JSON access log, as its directives do by default. HAProxy has no log and no extra headers.
- A handshake is TCP, TLS 1.3, the goodbye of both sides, and no request. Resumed ones are counted by the client.
- The fixed rate is open: sixty connections, each sending on its own clock.
- Memory is that of the whole tree, each page once, with the program's own file pages. Idle connections come from ten
  loopback addresses, did one request each, and are measured four seconds later: parked, as a connection is that has been
  idle for a second.
- Parking cannot be switched off, so what it costs is measured three ways. Requests beside parked connections are
  compared with the same requests on a server that has none, in turns. `--before BINARY` lets another palisade take part
  in every round: memory that is saved with CPU shows there. And one request on a connection that was parked is shown
  beside one on a connection that was not, at the same rate: that is what waking costs, and it is no target.
"""


def document(record):
    data = medians(record["results"])
    about = record["machine"]
    parts = ["# Performance", "",
             "Written by `benches/edge/run`; raw figures of every round: [performance/edge.json](performance/edge.json).",
             "",
             "%(cores)s cores, %(memory_gib)s GiB, %(architecture)s, Linux %(kernel)s; nginx %(nginx)s, HAProxy %(haproxy)s, "
             "OpenSSL %(openssl)s for both, rustc %(rustc)s; wrk %(wrk)s, h2load %(h2load)s." % about,
             "%s, %d rounds, %d s a load, %d idle connections. Cipher: %s." % (
                 record["when"], record["rounds"], record["seconds"], record["connections"],
                 ", ".join(sorted(set(record["ciphers"].values())))),
             ""]
    for title, made in (("Targets", targets_table(data)), ("Ratios", ratios_table(data)),
                        ("Figures", figures_table(data)), ("Access log", log_table(data))):
        if made:
            parts += ["## " + title, "", made, ""]
    if record.get("differences"):
        parts += ["## What differs from palisade's default configuration", "", "```toml", record["differences"].strip(),
                  "```", ""]
    return "\n".join(parts) + "\n" + RUNNING + "\n## Method\n" + NOTES


def put_record(root, name, record):
    """The raw figures of every round."""
    folder = pathlib.Path(root) / "docs" / "performance"
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(record, indent=1, sort_keys=True, ensure_ascii=False)
    # One round to a line: small, and still readable in a diff.
    text = re.sub(r"\{\s+([^{}]*?)\s+\}", lambda m: "{" + re.sub(r"\s*\n\s*", " ", m[1]) + "}", text)
    (folder / (name + ".json")).write_text(text + "\n")


def write(record, root):
    put_record(root, "edge", record)
    page = pathlib.Path(root) / "docs" / "PERFORMANCE.md"
    page.write_text(document(record) + sections(page.read_text() if page.exists() else ""))


def sections(text):
    """What the other benchmarks wrote between their marks stays."""
    found = re.finditer(r"<!-- (\w+):begin -->.*?<!-- \1:end -->\n", text, re.S)
    return "".join("\n" + one[0] for one in found)


def put_section(page, name, text):
    """Writes between the marks of `name`; at the end of the page where there are none."""
    whole = "<!-- %s:begin -->\n%s<!-- %s:end -->\n" % (name, text, name)
    old = page.read_text()
    found = re.search(r"<!-- %s:begin -->.*?<!-- %s:end -->\n" % (name, name), old, re.S)
    page.write_text(old.replace(found[0], whole) if found else old + "\n" + whole)
