"""The servers that are compared, each told to do the same: one site, two workers, TLS 1.2 and 1.3, HTTP/1.1 and
HTTP/2, the same certificate, kept-alive connections to the same upstream."""

import os
import pathlib
import resource
import shutil
import ssl
import subprocess
import time

import client
import process

WORKERS = 2
# Each needs two descriptors: one to the client, one to the app.
CONNECTIONS = min(10000, (resource.getrlimit(resource.RLIMIT_NOFILE)[1] - 500) // 2)
SECURITY_HEADERS = """
    add_header Strict-Transport-Security "max-age=31536000; includeSubDomains" always;
    add_header X-Content-Type-Options nosniff always;
    add_header X-Frame-Options SAMEORIGIN always;
    add_header Referrer-Policy strict-origin-when-cross-origin always;
    add_header Permissions-Policy "geolocation=(), camera=(), microphone=()" always;
    add_header X-Request-ID $request_id always;
    add_header X-Response-Time-ms $request_time always;
    proxy_set_header X-Request-ID $request_id;
    proxy_set_header X-Forwarded-For $remote_addr;
    proxy_set_header X-Forwarded-Proto $scheme;
    proxy_set_header X-Forwarded-Host $host;
    server_tokens off;
"""
JSON_LOG = """
    log_format json escape=json '{"timestamp":"$time_iso8601","level":"INFO","request_id":"$request_id",'
      '"tenant_id":"$host","user_id":"$remote_user","client":"$remote_addr","path":"$uri","method":"$request_method",'
      '"status_code":$status,"bytes":$body_bytes_sent,"latency_ms":"$request_time"}';
"""


def tool(name):
    """Debian keeps servers in /usr/sbin, which is not in everyone's PATH."""
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin")
    if not found:
        raise SystemExit("%s is missing: tests/run --install" % name)
    return found


def certificate(folder, name):
    """A self-signed P-256 certificate; the key is readable by its owner only."""
    cert, key = folder / (name + ".crt"), folder / (name + ".key")
    old = os.umask(0o077)
    try:
        subprocess.run(
            [tool("openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
             "-days", "30", "-subj", "/CN=" + name, "-addext", "subjectAltName=DNS:" + name,
             "-keyout", str(key), "-out", str(cert)],
            check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=60)
        both = folder / (name + ".pem")
        both.write_text(cert.read_text() + key.read_text())
    finally:
        os.umask(old)
    return cert, key, both


class Server:
    """Writes its files, starts, waits until it serves, and can be stopped."""

    def __init__(self, name, bench):
        self.name, self.bench = name, bench
        self.folder = bench.folder / name
        self.folder.mkdir()
        self.port = process.free_ports(1)[0]
        self.running = None

    def command(self):
        raise NotImplementedError

    def start(self):
        self.running = process.start(self.command(), self.folder / "output")
        self.wait()
        return self

    def wait(self, seconds=15):
        end = time.monotonic() + seconds
        while True:
            try:
                with client.connect(client.context(), self.port) as tls:
                    client.request(tls, self.port)
                    self.cipher = "%s %s" % (tls.version(), tls.cipher()[0])
                    return
            except (OSError, ssl.SSLError) as error:
                if self.running.poll() is not None or time.monotonic() > end:
                    output = (self.folder / "output").read_text(errors="replace")[-2000:]
                    raise SystemExit("%s does not serve (%s):\n%s" % (self.name, error, output))
                time.sleep(0.02)

    def stop(self):
        if self.running:
            process.stop(self.running)
            self.running = None

    def empty_log(self):
        """How many lines the log had; none are left."""
        lines = 0
        for path in self.folder.glob("*.log"):
            with open(path, "rb") as file:
                lines += sum(block.count(b"\n") for block in iter(lambda: file.read(1 << 20), b""))
            os.truncate(path, 0)
        return lines

    @property
    def pid(self):
        return self.running.pid


class Nginx(Server):
    def __init__(self, name, bench, headers=False, log=False):
        super().__init__(name, bench)
        self.headers, self.log = headers, log

    def sites(self):
        return [("localhost", self.bench.cert, self.bench.key)]

    def command(self):
        extras = SECURITY_HEADERS if self.headers else ""
        log = JSON_LOG + "access_log %s json;" % (self.folder / "access.log") if self.log else "access_log off;"
        servers = "".join("""
  server {
    listen 127.0.0.1:%d ssl http2 reuseport backlog=4096;
    server_name %s;
    ssl_certificate %s;
    ssl_certificate_key %s;
    location / { proxy_pass http://app; }
  }""" % (self.port, name, cert, key) for name, cert, key in self.sites())
        # `reuseport` and `backlog` may stand once per address.
        first, *rest = servers.split(" reuseport backlog=4096")
        servers = first + " reuseport backlog=4096" + "".join(rest)
        return nginx(self.folder, """
    %s
    %s
    ssl_protocols TLSv1.2 TLSv1.3;
    keepalive_requests 100000000;
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    proxy_set_header Host $host;
    client_max_body_size 10m;
    upstream app { server 127.0.0.1:%d; keepalive 64; keepalive_requests 100000000; }
    %s""" % (log, extras, self.bench.upstream_port, servers))


class Haproxy(Server):
    def certificates(self):
        return self.bench.pem

    def command(self):
        path = self.folder / "haproxy.cfg"
        path.write_text("""
global
    nbthread %d
    maxconn %d
    ssl-default-bind-options ssl-min-ver TLSv1.2 prefer-client-ciphers
defaults
    mode http
    timeout connect 3s
    timeout client 60s
    timeout server 60s
    timeout http-keep-alive 60s
frontend https
    bind 127.0.0.1:%d ssl crt %s alpn h2,http/1.1 backlog 4096
    default_backend app
backend app
    server app 127.0.0.1:%d
""" % (WORKERS, CONNECTIONS, self.port, self.certificates(), self.bench.upstream_port))
        return [tool("haproxy"), "-db", "-f", str(path)]


class Palisade(Server):
    """As shipped: the default configuration, and only what a bench cannot do without."""

    def __init__(self, name, bench, access_log=True, binary=None):
        super().__init__(name, bench)
        self.access_log, self.binary = access_log, binary or bench.palisade
        self.http, self.ops = process.free_ports(2)

    def sites(self):
        return [("localhost", self.bench.cert, self.bench.key)]

    def settings(self):
        """What differs from the default file."""
        log = "" if self.access_log else "access = false\n"
        workers = "" if os.cpu_count() == WORKERS else "workers = %d\n" % WORKERS  # one per core is the default
        return """state_dir = "%(folder)s/state"
%(workers)s
[listen]
https = ["127.0.0.1:%(port)d"]
http = ["127.0.0.1:%(http)d"]
ops = "127.0.0.1:%(ops)d"
control = "%(folder)s/control.sock"
app = "%(folder)s/app.sock"

[log]
file = "%(folder)s/palisade.log"
""" % {"folder": self.folder, "workers": workers, "port": self.port, "http": self.http, "ops": self.ops} + log

    def site(self, name, cert, key):
        return '\n[site."%s"]\nupstream = "127.0.0.1:%d"\ntls = { cert = "%s", key = "%s" }\n' % (
            name, self.bench.upstream_port, cert, key)

    def command(self):
        path = self.folder / "palisade.toml"
        path.write_text(self.settings() + "".join(self.site(*each) for each in self.sites()))
        path.chmod(0o600)
        return [str(self.binary), "run", "--config", str(path)]


def nginx(folder, http):
    """The frame that every nginx here needs: nothing outside its own folder."""
    folder.chmod(0o755)
    temp = "".join("%s_temp_path %s/%s;\n    " % (kind, folder, kind)
                   for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    path = folder / "nginx.conf"
    path.write_text("""
%s
daemon off;
worker_processes %d;
pid %s/nginx.pid;
error_log %s/error.log warn;
events { worker_connections %d; }
http {
    %s
    %s
}
""" % ("user root;" if os.geteuid() == 0 else "", WORKERS, folder, folder, CONNECTIONS, temp, http))
    return [tool("nginx"), "-p", str(folder), "-e", str(folder / "error.log"), "-c", str(path)]


class Upstream(Server):
    """The app behind all of them: three sizes of answer, and a POST that is read and thanked for."""

    def __init__(self, bench, name="upstream"):
        super().__init__(name, bench)
        files = self.folder / "files"
        files.mkdir()
        line = "<p>The quick brown fox jumps over the lazy dog, again and again and again.</p>\n"
        (files / "page.html").write_text((line * 200)[:10 * 1024])
        (files / "megabyte.bin").write_bytes(bytes(range(256)) * 4096)
        bench.upstream_port = self.port

    def command(self):
        return nginx(self.folder, """
    access_log off;
    sendfile on;
    tcp_nopush on;
    keepalive_requests 100000000;
    open_file_cache max=16;
    types { text/html html; application/octet-stream bin; }
    server {
      listen 127.0.0.1:%d reuseport backlog=4096;
      root %s/files;
      client_max_body_size 10m;
      default_type text/plain;
      location = /small { return 200 "ok, a small answer from the app\\n"; }
      location = /post { return 200 "thank you\\n"; }
    }""" % (self.port, self.folder))

    def wait(self, seconds=15):
        import socket
        end = time.monotonic() + seconds
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                if self.running.poll() is not None or time.monotonic() > end:
                    raise SystemExit((self.folder / "output").read_text() + (self.folder / "error.log").read_text())
                time.sleep(0.02)


class Many:
    """The same server with many sites, each with its own certificate, for the time it takes to start."""

    def sites(self):
        return self.bench.many

    def certificates(self):
        folder = self.folder / "certificates"
        if not folder.exists():
            folder.mkdir()
            for name, cert, _ in self.bench.many:
                shutil.copy(pathlib.Path(cert).with_suffix(".pem"), folder)
            shutil.copy(self.bench.pem, folder)
        return folder


class ManyNginx(Many, Nginx):
    pass


class ManyHaproxy(Many, Haproxy):
    pass


class ManyPalisade(Many, Palisade):
    pass
