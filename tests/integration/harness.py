"""Processes and HTTP for the integration tests and the demo: every process is started here and ended by its pid, every wait
is bounded, every port is kept from other tests until this process ends."""
import fcntl
import json
import os
import random
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from http.client import HTTPException

from kvass_exporter import Exporter  # noqa: F401 (tests take it from here)

BUILD = os.environ["top_builddir"]
SOURCE = os.environ.get("top_srcdir", os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
KVASS = os.environ.get("KVASS_TEST_BINARY", os.path.join(BUILD, "kvass"))
PROMETHEUS = os.environ.get("KVASS_TEST_PROMETHEUS", "prometheus")
# Sanitizer builds and loaded machines are slower: waits, never asserts, stretch with this.
PATIENCE = float(os.environ.get("KVASS_TEST_PATIENCE", "1"))


def port_range():
    """Below those that the kernel gives to outgoing connections and to servers that ask for any."""
    with open("/proc/sys/net/ipv4/ip_local_port_range") as f:
        low = int(f.read().split()[0])
    return range(10000, low) if low >= 12000 else range(1024, 65536)


PORTS = port_range()
PORT_LOCKS = os.path.join(tempfile.gettempdir(), f"kvass-test-ports.{os.getuid()}")
port_lock_file = open(PORT_LOCKS, "ab")  # stays open: closing it would give up the locks
ports_taken = set()


def take_port(port):
    """True when nobody listens there, and no other test process will until this one ends: a port that is only free at this moment is
    somebody else's by the time a server of ours binds it."""
    if port in ports_taken:
        return False
    try:
        fcntl.lockf(port_lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
        with socket.socket() as s:
            s.bind(("", port))
    except OSError:
        return False
    ports_taken.add(port)
    return True


def free_ports(count):
    """Ports nobody listens on, this process' own until it ends."""
    return [free_port_run(1) for _ in range(count)]


def free_port_run(count):
    """The first of `count` consecutive free ports (shards listen on base, base + 1, ...)."""
    first = random.SystemRandom().randrange(len(PORTS))
    for offset in range(len(PORTS)):
        base = PORTS[(first + offset) % len(PORTS)]
        if base + count <= PORTS[-1] + 1 and all(take_port(port) for port in range(base, base + count)):
            return base
    raise RuntimeError("no run of free ports")


def wait_for(what, seconds, condition, pause=0.2):
    """The first true value of condition(); an exception that says what was missing after `seconds`."""
    deadline = time.monotonic() + seconds * PATIENCE
    last = None
    while time.monotonic() < deadline:
        try:
            value = condition()
            if value:
                return value
            last = value
        except (OSError, HTTPException, KeyError, IndexError, ValueError) as e:
            last = e
        time.sleep(pause)
    raise TimeoutError(f"waited {seconds} s in vain for {what} (last: {last!r})")


def http(url, method="GET", data=None, timeout=10):
    """(status, text); an HTTP error status is an answer, not an exception."""
    body = data.encode() if isinstance(data, str) else data
    request = urllib.request.Request(url, data=body, method=method)
    try:
        with urllib.request.urlopen(request, timeout=timeout) as r:
            return r.status, r.read().decode(errors="replace")
    except urllib.error.HTTPError as e:
        return e.code, e.read().decode(errors="replace")


def get_data(url):
    """data of a success answer."""
    status, text = http(url)
    if status != 200:
        raise ValueError(f"{url}: status {status}: {text[:200]}")
    return json.loads(text)["data"]


class Process:
    """A child with its output in a file."""

    def __init__(self, args, log, env=None, cwd=None, sockets=None, wrapper=()):
        self.args, self.log_path = args, log
        self.log = open(log, "ab")
        if sockets:  # as systemd passes them: fds from 3 on, LISTEN_PID the process itself
            names, fds = zip(*sockets.items())
            moves = " ".join(f"{3 + i}<&{s.fileno()}" for i, s in enumerate(fds))
            closes = " ".join(f"{s.fileno()}<&-" for s in fds if s.fileno() >= 3 + len(fds))
            script = f'exec {moves} {closes}; export LISTEN_PID=$$ LISTEN_FDS={len(fds)} LISTEN_FDNAMES={":".join(names)}; exec "$@"'
            args = ["bash", "-c", script, "bash", *args]
        args = [*wrapper, *args]  # ends with an exec: the process id stays
        self.child = subprocess.Popen(args, stdout=self.log, stderr=self.log, stdin=subprocess.DEVNULL,
                                      env={**os.environ, **(env or {})}, cwd=cwd,
                                      pass_fds=[s.fileno() for s in sockets.values()] if sockets else ())
        self.pid = self.child.pid

    def running(self):
        return self.child.poll() is None

    def output(self):
        with open(self.log_path, errors="replace") as f:
            return f.read()

    def kill(self, sig=signal.SIGKILL):
        if self.running():
            os.kill(self.pid, sig)

    def stop(self, sig=signal.SIGTERM, seconds=20):
        """Asks for an end, insists after a while; the exit status."""
        self.kill(sig)
        try:
            self.child.wait(seconds * PATIENCE)
        except subprocess.TimeoutExpired:
            self.kill()
            self.child.wait()
        self.log.close()
        return self.child.returncode


class Prometheus(Process):
    """A real Prometheus on a free port."""

    def __init__(self, directory, config_path, options=(), binary=PROMETHEUS):
        self.port = free_ports(1)[0]
        self.url = f"http://127.0.0.1:{self.port}"
        os.makedirs(directory, exist_ok=True)
        super().__init__([binary, f"--config.file={config_path}", f"--storage.tsdb.path={directory}/data",
                          f"--web.listen-address=127.0.0.1:{self.port}", "--web.enable-lifecycle",
                          "--log.level=warn", *options], os.path.join(directory, "prometheus.log"))

    def wait_ready(self):
        wait_for("Prometheus to be ready", 30, lambda: http(self.url + "/-/ready")[0] == 200)
        return self


def query(url, expression, at=None):
    """Instant query: list of (labels, value as text or list of samples)."""
    params = {"query": expression}
    if at is not None:
        params["time"] = f"{at:.3f}"
    data = get_data(f"{url}/api/v1/query?{urllib.parse.urlencode(params)}")
    return [(r["metric"], r.get("values") or r["value"][1]) for r in data["result"]]


def scalar(url, expression):
    """Value of a query with one result, or None when it is empty."""
    result = query(url, expression)
    return float(result[0][1]) if len(result) == 1 else None


class Appliance(Process):
    """kvass appliance with Prometheus children on ports of its own."""

    def __init__(self, directory, config_path, options=(), shards_max=8, base_port=None, ports=None, env=None, sockets=None, wrapper=()):
        self.directory = directory
        self.base_port = base_port or free_port_run(shards_max)
        self.ports = ports or free_ports(2)
        self.url = f"http://127.0.0.1:{self.ports[0]}"
        self.store = os.path.join(directory, "store")
        args = [KVASS, "appliance", "--shard.type=process", f"--config.file={config_path}", f"--store.path={self.store}",
                f"--web.address=127.0.0.1:{self.ports[0]}", f"--web.proxy-addr=127.0.0.1:{self.ports[1]}",
                f"--shard.prometheus-port={self.base_port}", f"--shard.max-shard={shards_max}",
                f"--shard.prometheus-binary={PROMETHEUS}", *options]
        super().__init__(args, os.path.join(directory, "kvass.log"), env=env, sockets=sockets, wrapper=wrapper)

    def wait_ready(self, seconds=60):
        def ready():
            if not self.running():
                raise RuntimeError(f"kvass ended with {self.child.returncode}: {self.output()[-2000:]}")
            return http(self.url + "/-/ready")[0] == 200

        wait_for("kvass to be ready", seconds, ready)
        return self

    def get(self, path):
        return get_data(self.url + path)

    def shards(self):
        return self.get("/api/v1/shards")["shards"]

    def targets(self, job=None):
        found = self.get("/api/v1/targets?state=active")["activeTargets"]
        return [t for t in found if job is None or t["scrapePool"] == job]

    def moves(self):
        return self.get("/api/v1/moves")

    def owners(self):
        """{scrape URL: [shard ids]}"""
        return {t["scrapeUrl"]: t["shards"] for t in self.targets()}

    def child_pids(self, argument="--storage.tsdb.path="):
        """{shard id: pid of its Prometheus}, found by the listening port of its data folder in the command line."""
        found = {}
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{pid}/cmdline", "rb") as f:
                    words = f.read().decode(errors="replace").split("\0")
            except OSError:
                continue
            for word in words:
                if word.startswith(argument + self.store):
                    found[word.split("/shards/")[1].split("/")[0]] = int(pid)
        return found

    def stop(self, sig=signal.SIGINT, seconds=40):
        """SIGINT ends the children too; any that are left are killed by pid."""
        status = super().stop(sig, seconds)
        for pid in [*self.child_pids().values(), *self.child_pids("--storage.agent.path=").values()]:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        return status


def write(path, text):
    with open(str(path) + ".new", "w") as f:
        f.write(text)
    os.rename(str(path) + ".new", path)


def config(jobs, interval="1s"):
    return json.dumps({"global": {"scrape_interval": interval, "scrape_timeout": interval}, "scrape_configs": jobs})


def static_job(name, addresses, **more):
    return {"job_name": name, "static_configs": [{"targets": addresses}], **more}


def all_up(kvass, count):
    targets = kvass.targets()
    return len(targets) == count and all(t["health"] == "up" and len(t["shards"]) == 1 for t in targets)


def prometheus_value(kvass, expression):
    """Sum of a query over all shards."""
    values = [scalar(s["prometheusUrl"], expression) for s in kvass.shards()]
    return sum(v for v in values if v is not None)
