"""An attacker at the level of bytes: HTTP/2 frames (RFC 9113 §4.1), HPACK literals (RFC 7541), the corpus of HTTP/1."""

import pathlib
import socket
import ssl

DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 0, 1, 3, 4, 6, 7, 8, 9
END_STREAM, END_HEADERS = 1, 4
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
PATIENCE = 10  # seconds that anything may take before an attacker gives up

TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
TLS.check_hostname = False
TLS.verify_mode = ssl.CERT_NONE  # the attacker's own work is not measured
H2 = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
H2.check_hostname = False
H2.verify_mode = ssl.CERT_NONE
H2.set_alpn_protocols(["h2"])


def frame(kind, flags, stream, payload=b""):
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def integer(bits, first, value):
    """RFC 7541 §5.1"""
    most = (1 << bits) - 1
    if value < most:
        return bytes([first | value])
    out, value = [first | most], value - most
    while value >= 128:
        out.append(value % 128 | 128)
        value //= 128
    return bytes([*out, value])


def field(name, value, first=0):
    return bytes([first]) + integer(7, 0, len(name)) + name + integer(7, 0, len(value)) + value


def head(method, path):
    fields = [(b":method", method), (b":scheme", b"https"), (b":authority", b"localhost"), (b":path", path)]
    return b"".join(field(*one) for one in fields)


def request(stream, path=b"/small", method=b"GET", end=END_STREAM):
    return frame(HEADERS, end | END_HEADERS, stream, head(method, path))


def streams(count):
    return range(1, 2 * count, 2)


def plain(port, source="127.0.0.1"):
    raw = socket.socket()
    raw.settimeout(PATIENCE)
    raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    raw.setsockopt(socket.IPPROTO_IP, 24, 1)  # IP_BIND_ADDRESS_NO_PORT: the port is chosen at connect
    raw.bind((source, 0))
    raw.connect(("127.0.0.1", port))
    return raw


def tls(port, context=TLS, source="127.0.0.1"):
    return context.wrap_socket(plain(port, source), server_hostname="localhost")


def send(connection, data):
    """All of it, unless the server has had enough: whether it took it."""
    try:
        connection.sendall(data)
        return True
    except OSError:
        return False


def drain(connection, patience=PATIENCE):
    """Reads to the end, at most as long as nothing comes for `patience` seconds."""
    try:
        connection.settimeout(patience)
        while connection.recv(65536):
            pass
    except OSError:
        pass


def unescaped(text):
    """The notation that is told in tests/fixtures/http/README.md."""
    out, rest = b"", text
    while "\\" in rest:
        before, _, rest = rest.partition("\\")
        out += before.encode("latin-1")
        kind, rest = rest[0], rest[1:]
        if kind in "rnt0\\":
            out += {"r": b"\r", "n": b"\n", "t": b"\t", "0": b"\0", "\\": b"\\"}[kind]
        elif kind == "H":
            out += b"Host: localhost\r\n"
        elif kind == "x":
            out, rest = out + bytes([int(rest[:2], 16)]), rest[2:]
        elif kind == "{":
            inside, _, rest = rest.partition("}")
            count, _, what = inside.partition("*")
            out += unescaped(what) * int(count)
        else:
            raise ValueError("\\%s in %s" % (kind, text))
    return out + rest.encode("utf-8")


def refused(path):
    """What the cases of a corpus file send that palisade refuses with a 4xx or 5xx of its own."""
    cases, sends, answers = [], b"", []

    def keep():
        if sends and any(len(answer.split()) == 2 for answer in answers):
            cases.append(sends)

    for line in pathlib.Path(path).read_text().splitlines():
        word, _, rest = line.partition(" ")
        if word == "case":
            keep()
            sends, answers = b"", []
        elif word == "send":
            sends += unescaped(rest)
        elif word == "answer":
            answers.append(rest)
    keep()
    return cases
