"""The proxies: how each is found, and set up the same way.

The same for all: one worker, TLS 1.3 with X25519, a PROXY header read from loopback, `/admin` for the addresses of a list
only, upstream connections kept, an access log in a file with a line for each request or connection, time-outs longer than
any measure. Where a proxy cannot do as the others do, the comment says so.
"""

import json
import re
import shutil
import signal
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from measure.envoy import envoy_config

# Seconds of silence after which a flow has ended, and its line is written.
FLOW_IDLE = 2
OFFICE = ["198.51.100.0/24", "192.0.2.16/28", "2001:db8:42::/48"]


class Unavailable(Exception):
    """A subject cannot do this, and why."""


class NotItsWork(Unavailable):
    """It never could: no reason to think that something is wrong here."""


@dataclass(frozen=True)
class Setup:
    """What a subject is set up for: one role, in a folder of its own."""

    role: str
    port: int
    origin: str
    folder: Path
    certificates: Path

    @property
    def secure(self):
        return self.role in ("https", "h2")

    @property
    def log(self):
        return self.folder / "access.log"

    def write(self, name, text):
        path = self.folder / name
        path.write_text(text)
        return str(path)


@dataclass(frozen=True)
class Subject:
    """A proxy that can be set up. `command` answers with its command line, and whether standard output is its log."""

    name: str
    version: str
    binary: str
    command: object = field(repr=False)
    splice: bool = False
    # What it is asked with to end in its own time, and all of its processes before it.
    farewell: signal.Signals = signal.SIGTERM


def foreword(binary):
    return Subject("foreword", version_of([binary, "--version"], r"foreword (\S+)"), binary, foreword_command)


def foreword_command(subject, setup):
    tls = ""
    if setup.secure:
        pair = f'{{ certificate = "{setup.certificates}/bench.crt", key = "{setup.certificates}/bench.key" }}'
        tls = f"tls = {{ certificates = [{pair}] }}"
    common = f"""
workers = 1
[log.access]
to = "file:{setup.log}"
"""
    if setup.role == "tcp":
        text = common + f"""
[listener.edge]
bind = ["127.0.0.1:{setup.port}"]
mode = "tcp"
cluster = "origin"
timeout = {{ idle = "10m" }}
[cluster.origin]
endpoints = ["{setup.origin}"]
send_header = "v2"
"""
    elif setup.role == "udp":
        text = common + f"""
[listener.edge]
bind = ["127.0.0.1:{setup.port}"]
mode = "udp"
cluster = "origin"
timeout = {{ idle = "{FLOW_IDLE}s" }}
[cluster.origin]
endpoints = ["{setup.origin}"]
send_header = "v2"
"""
    else:
        text = common + f"""
[trust.loopback]
from = ["127.0.0.0/8"]
header = "require"
[list]
office = {json.dumps(OFFICE)}
[listener.web]
bind = ["127.0.0.1:{setup.port}"]
mode = "http"
trust = ["loopback"]
{tls}
timeout = {{ {'tls = "10m", ' if setup.secure else ""}head = "10m", idle = "10m" }}
header = {{ deadline = "10m" }}
[[listener.web.rule]]
name = "admin is for the office"
when = 'path.under("/admin") && !(client.ip in @office)'
then = {{ deny = 403 }}
[[listener.web.rule]]
then = {{ forward = "origin" }}
[cluster.origin]
endpoints = ["{setup.origin}"]
timeout = {{ idle = "10m" }}
"""
    return [subject.binary, "run", "-c", setup.write("foreword.toml", text)], False


def haproxy(binary, splice=False):
    version = version_of([binary, "-v"], r"HAProxy version (\d+\.\d+(?:\.\d+)?)")
    library = version_of([binary, "-vv"], r"Running on (?:OpenSSL|SSL library) version : (OpenSSL|AWS-LC|\S+)")
    # It comes with several, and they make a difference; Debian's is the usual one.
    name = f"haproxy {version}" + {"OpenSSL": "", "?": " no-tls"}.get(library, f" {library.lower()}")
    name += " splice" if splice else ""
    return Subject(name, version, binary, haproxy_command, splice)


def haproxy_command(subject, setup):
    """HAProxy never opens a file to log to: its standard output is one."""
    if setup.role == "udp":
        raise NotItsWork("it forwards no datagrams")
    text = """
global
    nbthread 1
    maxconn 9900
    log stdout format raw local0
defaults
    log global
    timeout connect 5s
    timeout client 10m
    timeout server 10m
    timeout http-keep-alive 10m
    timeout http-request 10m
    http-reuse always
"""
    if setup.role == "tcp":
        text += f"""
    {"option splice-auto" if subject.splice else ""}
frontend edge
    mode tcp
    option tcplog
    bind 127.0.0.1:{setup.port} backlog 16384
    default_backend origin
backend origin
    mode tcp
    server origin {setup.origin} send-proxy-v2
"""
    else:
        alpn = "h2" if setup.role == "h2" else "http/1.1"
        tls = f"ssl crt {setup.certificates}/bench.pem alpn {alpn} ssl-min-ver TLSv1.3 curves X25519"
        text += f"""
frontend web
    mode http
    option httplog
    option forwardfor
    bind 127.0.0.1:{setup.port} backlog 16384 {tls if setup.secure else ""}
    tcp-request connection expect-proxy layer4 if {{ src 127.0.0.0/8 }}
    acl office src {" ".join(OFFICE)}
    http-request deny if {{ path_beg /admin }} !office
    http-request set-header X-Forwarded-Proto {"https" if setup.secure else "http"}
    default_backend origin
backend origin
    mode http
    server origin {setup.origin}
"""
    return [subject.binary, "-db", "-f", setup.write("haproxy.cfg", text)], True


def nginx(binary):
    version = version_of([binary, "-v"], r"nginx/(\S+)")
    # Asked with SIGTERM, it gives its worker a second and then kills it.
    return Subject(f"nginx {version}", version, binary, nginx_command, farewell=signal.SIGQUIT)


def nginx_command(subject, setup):
    """In front of datagrams it adds nothing: it would put a header before a flow's first one alone."""
    text = f"""
user root;
daemon off;
worker_processes 1;
worker_rlimit_nofile 20000;
pid {setup.folder}/nginx.pid;
error_log {setup.folder}/error.log error;
{nginx_stream_module(subject) if setup.role in ("tcp", "udp") else ""}
events {{ worker_connections 20000; }}
"""
    if setup.role in ("tcp", "udp"):
        datagrams = setup.role == "udp"
        text += f"""
stream {{
    log_format line '$remote_addr:$remote_port [$time_local] $protocol $status $bytes_sent $bytes_received $session_time';
    access_log {setup.log} line;
    server {{
        listen 127.0.0.1:{setup.port} {"udp" if datagrams else "backlog=16384"};
        proxy_pass {setup.origin};
        proxy_protocol {"off" if datagrams else nginx_header(subject)};
        proxy_timeout {f"{FLOW_IDLE}s" if datagrams else "10m"};
        proxy_half_close {"off" if datagrams else "on"};
    }}
}}
"""
    else:
        tls = f"""
        ssl_certificate {setup.certificates}/bench.crt;
        ssl_certificate_key {setup.certificates}/bench.key;
        ssl_protocols TLSv1.3;
        ssl_ecdh_curve X25519;"""
        if not setup.secure:
            tls = ""
        options, protocol = nginx_protocol(subject, setup)
        allow = "\n".join(f"            allow {address};" for address in OFFICE)
        text += f"""
http {{
    access_log {setup.log} combined;
    upstream origin {{
        server {setup.origin};
        keepalive 1000;
        keepalive_requests 1000000000;
        keepalive_timeout 10m;
    }}
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    proxy_set_header Host $host;
    proxy_set_header X-Forwarded-For $remote_addr;
    proxy_set_header X-Forwarded-Proto $scheme;
    keepalive_requests 1000000000;
    keepalive_timeout 10m;
    client_header_timeout 10m;
    set_real_ip_from 127.0.0.0/8;
    real_ip_header proxy_protocol;
    client_body_temp_path {setup.folder}/body;
    proxy_temp_path {setup.folder}/proxy;
    fastcgi_temp_path {setup.folder}/fastcgi;
    uwsgi_temp_path {setup.folder}/uwsgi;
    scgi_temp_path {setup.folder}/scgi;
    server {{
        listen 127.0.0.1:{setup.port} {options} proxy_protocol backlog=16384;{tls}{protocol}
        location / {{ proxy_pass http://origin; }}
        location /admin {{
{allow}
            deny all;
            proxy_pass http://origin;
        }}
    }}
}}
"""
    return [subject.binary, "-p", str(setup.folder), "-c", setup.write("nginx.conf", text), "-e", "stderr"], False


def nginx_header(subject):
    """It knows v1 only, before 1.31.4."""
    return "v2" if release(subject) >= (1, 31, 4) else "on"


def nginx_protocol(subject, setup):
    """What `listen` says of TLS and HTTP/2, and what a line of its own says since 1.25.1."""
    if setup.role != "h2":
        return "ssl" if setup.secure else "", ""
    if release(subject) < (1, 25, 1):
        return "ssl http2", ""
    return "ssl", "\n        http2 on;"


def nginx_stream_module(subject):
    told = subprocess.run([subject.binary, "-V"], capture_output=True, text=True, timeout=20).stderr
    if "--with-stream=dynamic" not in told:
        if "--with-stream" in told:
            return ""
        raise Unavailable("built without the stream module")
    folder = re.search(r"--modules-path=(\S+)", told)
    module = Path(folder.group(1) if folder else "/usr/lib/nginx/modules") / "ngx_stream_module.so"
    if not module.exists():
        raise Unavailable(f"{module} is missing (Debian: libnginx-mod-stream)")
    return f"load_module {module};"


def envoy(binary):
    version = version_of([binary, "--version"], r"/(\d+\.\d+\.\d+)")
    return Subject(f"envoy {version}", version, binary, envoy_command)


def envoy_command(subject, setup):
    path = setup.write("envoy.json", json.dumps(envoy_config(setup, OFFICE)))
    return [subject.binary, "-c", path, "--concurrency", "1", "--disable-hot-restart", "--log-level", "error"], False


def release(subject):
    """A version that can be compared."""
    return tuple(int(part) for part in re.findall(r"\d+", subject.version))


def version_of(command, pattern):
    told = subprocess.run(command, capture_output=True, text=True, timeout=60)
    found = re.search(pattern, told.stdout + told.stderr)
    return found.group(1) if found else "?"


def on_path(name):
    """A program of this machine, in the folders of the administrator too."""
    return shutil.which(name) or shutil.which(name, path="/usr/local/sbin:/usr/sbin:/sbin")
