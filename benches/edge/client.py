"""The clients that wrk and h2load are not: handshakes that are counted, and connections that stay open.

    client.py handshakes PORT COUNT full|resumed     counts on standard output, as JSON
    client.py idle PORT COUNT                        says "ready", holds until standard input ends, then counts again
    client.py sparse PORT COUNT PERIOD_MS SECONDS    says "ready", waits for a line, then a request on each of the
                                                     connections in turn, every one again after the period
"""

import json
import multiprocessing
import os
import resource
import select
import socket
import ssl
import sys
import threading
import time

NAME = "localhost"
REQUEST = b"GET /small HTTP/1.1\r\nHost: %s:%d\r\n\r\n"
PROCESSES, THREADS = 2, 4
SOURCES = ["127.0.0.%d" % n for n in range(2, 12)]


def context():
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.check_hostname = False
    made.verify_mode = ssl.CERT_NONE  # the client's own work is not measured
    made.minimum_version = ssl.TLSVersion.TLSv1_3
    made.set_alpn_protocols(["http/1.1"])
    return made


def connect(made, port, session=None, source=None):
    raw = socket.socket()
    raw.settimeout(10)
    raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if source:
        raw.setsockopt(socket.IPPROTO_IP, 24, 1)  # IP_BIND_ADDRESS_NO_PORT: the port is chosen at connect
        raw.bind((source, 0))
    raw.connect(("127.0.0.1", port))
    return made.wrap_socket(raw, server_hostname=NAME, session=session)


def request(tls, port):
    """One request, its answer read to the end."""
    tls.sendall(REQUEST % (NAME.encode(), port))
    got = b""
    while b"\r\n\r\n" not in got:
        more = tls.recv(65536)
        if not more:
            raise OSError("closed before the head ended")
        got += more
    head, body = got.split(b"\r\n\r\n", 1)
    if not head.startswith(b"HTTP/1.1 200"):
        raise OSError(head.split(b"\r\n")[0].decode("latin-1"))
    length = next(int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
    while len(body) < length:
        more = tls.recv(65536)
        if not more:
            raise OSError("closed before the body ended")
        body += more


def close(tls):
    """Both sides say goodbye, so that no unread ticket turns into a reset."""
    try:
        tls.unwrap()
    except (OSError, ValueError):
        pass
    tls.close()


def handshakes_thread(port, count, resumed, out):
    made = context()
    done = reused = errors = 0
    session = None
    for _ in range(count):
        try:
            if resumed and session is None:  # the ticket comes with the first answer
                with connect(made, port) as first:
                    request(first, port)
                    session = first.session
            tls = connect(made, port, session)
            done += 1
            reused += bool(tls.session_reused)
            close(tls)
        except OSError as error:
            errors += 1
            if errors > 20:
                out.append((done, reused, errors, str(error)))
                return
    out.append((done, reused, errors, ""))


def handshakes_process(port, count, resumed, pipe):
    out = []
    threads = [
        threading.Thread(target=handshakes_thread, args=(port, count // THREADS, resumed, out)) for _ in range(THREADS)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    pipe.send(out)


def handshakes(port, count, resumed):
    started = time.monotonic()
    ends, processes = [], []
    for _ in range(PROCESSES):
        ours, theirs = multiprocessing.Pipe(False)
        process = multiprocessing.Process(target=handshakes_process, args=(port, count // PROCESSES, resumed, theirs))
        process.start()
        ends.append(ours)
        processes.append(process)
    out = [row for end in ends for row in end.recv()]
    for process in processes:
        process.join()
    done, reused, errors = (sum(row[n] for row in out) for n in range(3))
    print(json.dumps({
        "requests": done,
        "resumed": reused,
        "errors": errors,
        "error": next((row[3] for row in out if row[3]), ""),
        "seconds": time.monotonic() - started,
        "primed": PROCESSES * THREADS if resumed else 0,
    }))


def idle(port, count):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if hard < count + 100:
        raise SystemExit("only %d open files are allowed, %d are needed: raise the limit (ulimit -Hn)" % (hard, count + 100))
    made = context()
    open_now = []
    for n in range(count):
        tls = connect(made, port, source=SOURCES[n % len(SOURCES)])
        request(tls, port)
        open_now.append(tls)
    print("ready", flush=True)
    sys.stdin.read()
    poll = select.poll()
    for tls in open_now:
        poll.register(tls.fileno(), select.POLLIN | select.POLLHUP)
    closed = 0
    for fd, _ in poll.poll(0):
        try:  # a late ticket is no goodbye
            peeked = socket.socket(fileno=os.dup(fd)).recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
            closed += not peeked or peeked == b"\x15"
        except OSError:
            closed += 1
    print(json.dumps({"open": count - closed}), flush=True)
    os._exit(0)  # the kernel closes them; saying goodbye 5,000 times measures nothing


def sparse(port, count, period, seconds):
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    made = context()
    held = [connect(made, port, source=SOURCES[n % len(SOURCES)]) for n in range(count)]
    for tls in held:
        request(tls, port)
    print("ready", flush=True)
    sys.stdin.readline()
    began, done = time.monotonic(), 0
    while True:
        due = began + done * period / count
        if due - began > seconds:
            break
        time.sleep(max(0, due - time.monotonic()))
        request(held[done % count], port)
        done += 1
    print(json.dumps({"requests": done, "errors": 0, "seconds": time.monotonic() - began}), flush=True)
    os._exit(0)


if __name__ == "__main__":
    if sys.argv[1] == "handshakes":
        handshakes(int(sys.argv[2]), int(sys.argv[3]), sys.argv[4] == "resumed")
    elif sys.argv[1] == "sparse":
        sparse(int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]) / 1000, float(sys.argv[5]))
    else:
        idle(int(sys.argv[2]), int(sys.argv[3]))
