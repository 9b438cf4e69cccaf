"""The real Kubernetes control plane of tests/testplane. It lives in a network namespace of its own, so a test file runs itself inside:

    if plane.is_inside():
        def test_...(): ...
    else:
        def test_on_the_control_plane():
            plane.run(__file__)

Without its binaries (KVASS_TEST_KUBE_BIN, ~/.cache/kvass-testplane/bin; tests/testplane/build-kubernetes makes them) the file is
skipped, or fails when KVASS_TEST_REQUIRE_KUBE=1."""
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request

import pytest

SOURCE = os.environ.get("top_srcdir", os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
BIN = os.environ.get("KVASS_TEST_KUBE_BIN") or os.path.expanduser("~/.cache/kvass-testplane/bin")
MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"


def is_inside():
    return "KUBE_PLANE_PID" in os.environ


def missing():
    """What the control plane lacks here, in words; None when it can run."""
    for program in ("kube-apiserver", "kube-controller-manager"):
        if not os.access(os.path.join(BIN, program), os.X_OK):
            return f"{BIN}/{program} is missing: run tests/testplane/build-kubernetes or set KVASS_TEST_KUBE_BIN"
    for program in ("etcd", "kubectl", "openssl", "ip", "unshare", "curl"):
        if not shutil.which(program):
            return f"{program} is not installed"
    if subprocess.run(["unshare", "-rn", "true"], capture_output=True).returncode != 0:
        return "this machine allows no network namespaces (unshare -rn)"
    return None


def run(file, seconds=2400, audit=False):
    """Runs the tests of a file inside of a control plane; they fail together, with their output. audit: the API server writes down every
    request of service accounts, see audited()."""
    why = missing()
    if why:
        if os.environ.get("KVASS_TEST_REQUIRE_KUBE") == "1":
            pytest.fail(f"no control plane: {why}")
        pytest.skip(f"no control plane: {why}")
    more = {}
    if audit:
        folder = tempfile.mkdtemp(prefix="kvass-audit-")
        with open(os.path.join(folder, "policy.yaml"), "w") as f:
            f.write("apiVersion: audit.k8s.io/v1\nkind: Policy\nomitStages: [RequestReceived]\nrules:\n"
                    "  - {level: Metadata, userGroups: ['system:serviceaccounts:kvass']}\n  - {level: None}\n")
        more = {"KVASS_TEST_AUDIT": os.path.join(folder, "audit.log"),
                "KVASS_APISERVER_EXTRA": f"--audit-policy-file={folder}/policy.yaml --audit-log-path={folder}/audit.log"}
    child = subprocess.Popen(
        [os.path.join(SOURCE, "tests", "testplane", "control-plane"), sys.executable, "-m", "pytest", "-q", "-x", "--durations=8", "-p", "no:cacheprovider",
         os.path.abspath(file)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, text=True,
        env={"KVASS_TEST_PATIENCE": "2", **os.environ, **more, "KVASS_TEST_KUBE_BIN": BIN})
    try:
        output, _ = child.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        child.send_signal(signal.SIGTERM)
        output, _ = child.communicate(timeout=60)
        pytest.fail(f"the tests on the control plane took longer than {seconds} s:\n{output[-8000:]}")
    print(output)
    if child.returncode != 0:
        pytest.fail(f"on the control plane (exit status {child.returncode}):\n{output[-12000:]}", pytrace=False)


def audit_end():
    """Where the audit log ends now."""
    return os.path.getsize(os.environ["KVASS_TEST_AUDIT"])


def audited(account, since=0):
    """What a service account of the namespace kvass asked the API server for: {(verb, group, resource/subresource): set of HTTP codes}."""
    seen = {}
    with open(os.environ["KVASS_TEST_AUDIT"]) as f:
        f.seek(since)
        for line in f:
            event = json.loads(line)
            ref = event.get("objectRef")
            if event["user"]["username"] != f"system:serviceaccount:kvass:{account}" or not ref:
                continue
            resource = ref["resource"] + ("/" + ref["subresource"] if ref.get("subresource") else "")
            key = (event["verb"], ref.get("apiGroup", ""), resource)
            seen.setdefault(key, set()).add(event["responseStatus"]["code"])
    return seen


class Api:
    """The API server, as its administrator or with another token."""

    def __init__(self, token="admin-token"):
        self.url = os.environ["KUBE_URL"]
        self.token = token
        self.tls = ssl.create_default_context(cafile=os.environ["KUBE_CA"])

    def call(self, method, path, body=None, content_type="application/json"):
        data = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(self.url + path, data=data, method=method, headers={
            "Authorization": "Bearer " + self.token, "Content-Type": content_type, "Accept": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=30, context=self.tls) as answer:
                return json.loads(answer.read())
        except urllib.error.HTTPError as e:
            e.add_note(f"{method} {path}: {e.read(2000).decode(errors='replace')}")
            raise

    def get(self, path):
        return self.call("GET", path)

    def create(self, path, body):
        return self.call("POST", path, body)

    def patch(self, path, body, content_type=MERGE):
        return self.call("PATCH", path, body, content_type)

    def delete(self, path):
        try:
            return self.call("DELETE", path, {"kind": "DeleteOptions", "apiVersion": "v1", "gracePeriodSeconds": 0})
        except urllib.error.HTTPError as e:
            if e.code != 404:
                raise
            return None


def pids(program):
    """Of the plane's own processes, by program name."""
    if program in restarted:
        return [restarted[program].pid]
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/stat") as f:
                parent = int(f.read().rsplit(")", 1)[1].split()[1])
            with open(f"/proc/{pid}/cmdline", "rb") as f:
                name = os.path.basename(f.read().split(b"\0")[0].decode(errors="replace"))
        except (OSError, IndexError, ValueError):
            continue
        if parent == int(os.environ["KUBE_PLANE_PID"]) and name == program:
            found.append(int(pid))
    return found


restarted = {}


def restart(program):
    """Kills a server of the plane outright and starts it again with the same arguments; it ends with the tests."""
    (pid,) = pids(program)
    with open(f"/proc/{pid}/cmdline", "rb") as f:
        words = [w.decode() for w in f.read().split(b"\0")[:-1]]
    os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:  # its sockets are closed once it is a zombie or gone
        try:
            with open(f"/proc/{pid}/stat") as f:
                if f.read().rsplit(")", 1)[1].split()[0] == "Z":
                    break
        except OSError:
            break
        time.sleep(0.05)
    with open(os.path.join(os.environ["KUBE_RUN"], "log", program + ".again.log"), "ab") as log:
        restarted[program] = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log)


class Relay:
    """A TCP relay in front of the API server whose connections can be cut: an outage for those that come through it."""

    def __init__(self, to):
        self.to = to
        self.is_open = True
        self.pairs = []
        self.lock = threading.Lock()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                near, _ = self.listener.accept()
            except OSError:
                return
            if not self.is_open:
                near.close()
                continue
            try:
                far = socket.create_connection(self.to, timeout=10)
            except OSError:
                near.close()
                continue
            far.settimeout(None)
            with self.lock:
                if self.is_open:
                    self.pairs.append((near, far))
                    is_kept = True
                else:  # cut while it was being made
                    is_kept = False
            if not is_kept:
                near.close()
                far.close()
                continue
            for a, b in ((near, far), (far, near)):
                threading.Thread(target=self.pump, args=(a, b), daemon=True).start()

    @staticmethod
    def pump(a, b):
        try:
            while data := a.recv(65536):
                b.sendall(data)
        except OSError:
            pass
        for s in (a, b):
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def cut(self):
        """Breaks every connection and takes no new one."""
        with self.lock:
            self.is_open = False
            pairs, self.pairs = self.pairs, []
        for pair in pairs:
            for s in pair:
                try:
                    s.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass
                s.close()

    def mend(self):
        self.is_open = True

    def close(self):
        self.cut()
        self.listener.close()
