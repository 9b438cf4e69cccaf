"""Random faults against the scrape path with a real Prometheus in front: every fault must be exactly one failed scrape with a true
reason, memory must not grow, nothing may crash.

    top_builddir=build python3 tests/integration/soak.py [MINUTES]    (scripts/long soak [MINUTES])"""
import gzip
import json
import os
import random
import re
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time

from harness import PATIENCE, Appliance, config, get_data, http, query, static_job, wait_for, write

TARGETS = 12
INTERVAL, TIMEOUT, RETRY = 5, 4, 1
SHARE_OF_FAULTS = 0.4
GOOD = "".join(f'good_{i}{{path="/x/{i}",code="200"}} {i}\n' for i in range(200)).encode()
LARGE = "".join(f'large_{i}{{path="/x/{i * 2654435761 % 4294967296:x}"}} {i}\n' for i in range(8000)).encode()


def head(body_len, *more):
    return ("\r\n".join(["HTTP/1.1 200 OK", f"Content-Length: {body_len}", "Content-Type: text/plain", *more]) + "\r\n\r\n").encode()


def whole(body, *more):
    return head(len(body), *more) + body


def broken_crc(body):
    packed = bytearray(gzip.compress(body))
    packed[-6] ^= 0xff
    return bytes(packed)


def make_bomb():
    """200 MB of comments in a few kilobytes of zstd; the limit of the run is far below."""
    line = b"#" * 4095 + b"\n"
    packed = subprocess.run(["zstd", "-q", "-c"], input=line * (200 << 20 >> 12), stdout=subprocess.PIPE, check=True).stdout \
        if subprocess.run(["which", "zstd"], stdout=subprocess.DEVNULL).returncode == 0 else gzip.compress(line * (200 << 20 >> 12))
    return whole(packed, "Content-Encoding: " + ("zstd" if packed[:1] == b"(" else "gzip"))


RESET, CLOSE, STALL, KEEP = "reset", "close", "stall", "keep"
# name: (bytes, what then, the reason kvass gives)
FAULTS = {
    "reset": (b"", RESET, "reset|Empty reply|Recv failure"),
    "nothing": (b"", CLOSE, "Empty reply"),
    "stall": (b"", STALL, "deadline exceeded"),
    "half a head": (b"HTTP/1.1 200 OK\r\nConte", CLOSE, "head"),
    "slow head": (b"HTTP/1.1 200 OK\r\n", STALL, "deadline exceeded"),
    "reset in the body": (head(len(LARGE)) + LARGE[:200000], RESET, "reset|Recv failure"),
    "stall in the body": (head(len(LARGE)) + LARGE[:200000], STALL, "deadline exceeded"),
    "short body": (head(len(GOOD)) + GOOD[:1000], CLOSE, "bytes remaining"),
    "short large body": (head(len(LARGE)) + LARGE[:200000], CLOSE, "bytes remaining"),
    "bad chunk": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n" + GOOD, CLOSE, "hunk"),
    "no last chunk": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\na 1\n\r\n", CLOSE, "closed"),
    "truncated gzip": (whole(gzip.compress(GOOD)[:-100], "Content-Encoding: gzip"), KEEP, "EOF|gzip"),
    "wrong CRC": (whole(broken_crc(GOOD), "Content-Encoding: gzip"), KEEP, "checksum"),
    "wrong CRC, large": (whole(broken_crc(LARGE), "Content-Encoding: gzip"), KEEP, "checksum"),
    "flipped gzip": (whole(gzip.compress(LARGE)[:5000] + b"\xff" * 100 + gzip.compress(LARGE)[5100:], "Content-Encoding: gzip"), KEEP, "."),
    "long line": (whole(b'a{x="' + b"y" * (10 << 20) + b'"} 1\n'), CLOSE, "line"),
    "NULs": (whole(b"a 1\nb\0\0c 2\n"), KEEP, "."),
    "random bytes": (whole(b"\x80" + random.Random(7).randbytes(3000)), KEEP, "."),
    "status": (b"HTTP/1.1 500 Oh No\r\nContent-Length: 4\r\n\r\noops", KEEP, "500 Oh No"),
    "no content": (b"HTTP/1.1 204 No Content\r\n\r\n", KEEP, "204"),
    "endless head": (b"HTTP/1.1 200 OK\r\n" + b"X-Filler: 0123456789012345678901234567890123456789\r\n" * 8000, CLOSE, "head"),
}
BODIES = [whole(GOOD), whole(gzip.compress(GOOD), "Content-Encoding: gzip"), whole(LARGE), whole(gzip.compress(LARGE), "Content-Encoding: gzip"),
          b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"%x\r\n" % len(GOOD) + GOOD + b"\r\n0\r\n\r\n",
          b"HTTP/1.1 100 Continue\r\n\r\n" + whole(GOOD)]


class Target:
    """One target on a port of its own; writes down what it did with each scrape: (time, fault or None)."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.faulty = False
        self.log = []
        self.lock = threading.Lock()
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.address = "127.0.0.1:%d" % self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            conn, _ = self.listener.accept()
            threading.Thread(target=self.serve, args=(conn,), daemon=True).start()

    def decide(self, request):
        """A dead connection is tried again at once: that is the same scrape, with the same fault."""
        now = time.time()
        with self.lock:
            if b"user-agent: prometheus/" not in request.lower():
                return None
            if self.log and now - self.log[-1][0] < RETRY:
                return self.log[-1][1]
            fault = self.random.choice(list(FAULTS)) if self.faulty and self.random.random() < SHARE_OF_FAULTS else None
            self.log.append((now, fault))
            return fault

    def serve(self, conn):
        with conn:
            try:
                while True:
                    request = b""
                    while b"\r\n\r\n" not in request:
                        piece = conn.recv(65536)
                        if not piece:
                            return
                        request += piece
                    fault = self.decide(request)
                    answer, then, _ = FAULTS[fault] if fault else (self.random.choice(BODIES), KEEP, "")
                    conn.sendall(answer)
                    if then == STALL:
                        conn.settimeout(60)
                        conn.recv(1)
                    elif then == RESET:
                        time.sleep(0.05)
                        conn.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    if then != KEEP:
                        return
            except OSError:
                return


def resident_kb(pid):
    with open(f"/proc/{pid}/status") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("VmRSS"))


class Watch:
    """Reads kvass' own verdicts while the run lasts."""

    def __init__(self, kvass, targets):
        self.kvass, self.targets = kvass, {t.address: t for t in targets}
        self.wrong, self.seen, self.memory, self.errors = {}, {}, [], {}

    def look(self):
        self.memory.append(resident_kb(self.kvass.pid))
        for t in get_data(self.kvass.url + "/api/v1/targets?state=active")["activeTargets"]:
            address = t["scrapeUrl"].split("/")[2]
            began = time.mktime(time.strptime(t["lastScrape"][:19], "%Y-%m-%dT%H:%M:%S")) - time.timezone if t["lastScrape"] else 0
            self.errors[(address, int(began))] = t["lastError"]
            entries = [fault for at, fault in list(self.targets[address].log) if abs(at - began) < 1.5]
            if len(entries) != 1 or began == 0:
                continue
            fault, error = entries[0], t["lastError"]
            if fault is None and error != "" or fault is not None and not re.search(FAULTS[fault][2], error):
                self.wrong[(address, began)] = (fault, error)
            else:
                self.seen[fault] = error
                self.wrong.pop((address, began), None)


    def error_of(self, address, began):
        """What kvass said of the scrape that began then; its lastScrape is in whole seconds."""
        return next((e for e in (self.errors.get((address, int(began) + d)) for d in (0, 1, -1)) if e is not None), "not seen")


def verdicts(prometheus, seconds):
    """{instance: list of (time, whether it failed)}"""
    return {m["instance"]: [(t, v == "0") for t, v in values] for m, values in query(prometheus, f'up{{job="soak"}}[{seconds}s]')}


def judge(targets, ups, watch, say):
    """Lays each scrape Prometheus stored beside what its target did with it, says every failed one with its cause, and returns
    those where the two do not agree. A scrape's sample has the time it was due; its requests come until the next one is."""
    odd = []
    for t in targets:
        samples = ups[t.address]
        for i, (due, failed) in enumerate(samples):
            until = samples[i + 1][0] if i + 1 < len(samples) else due + INTERVAL
            entries = [e for e in t.log if due - 0.05 <= e[0] < until - 0.05]
            faults = [fault for _, fault in entries]
            if failed or any(faults):
                text = (f"{due:.3f} {t.address} failed={failed} injected={faults} after {[round(at - due, 3) for at, _ in entries]} s, "
                        f"kvass: {watch.error_of(t.address, entries[0][0] if entries else due)}")
                say(text)
                if not failed or not (faults and all(faults)) or len(faults) != 1:
                    odd.append(text)
    return odd


def run(seconds, directory, say=lambda text: None):
    FAULTS["bomb"] = (make_bomb(), KEEP, "larger than" if PATIENCE == 1 else "larger than|deadline exceeded")  # memcheck decodes slowly
    targets = [Target(i) for i in range(TARGETS)]
    write(os.path.join(directory, "prometheus.yml"), config([static_job(
        "soak", [t.address for t in targets], scrape_interval=f"{INTERVAL}s", scrape_timeout=f"{TIMEOUT}s")]))
    kvass = Appliance(directory, os.path.join(directory, "prometheus.yml"),
                      ["--coordinator.interval=2s", "--shard.max-series=2000000", "--proxy.max-body-size=50MB"],
                      env={"ASAN_OPTIONS": "quarantine_size_mb=1"})
    try:
        kvass.wait_ready()
        wait_for("all up", 90, lambda: len(kvass.targets()) == TARGETS and all(t["health"] == "up" for t in kvass.targets()))
        prometheus = kvass.shards()[0]["prometheusUrl"]
        wait_for("samples of all", 60, lambda: len(query(prometheus, 'count_over_time(up{job="soak"}[1m]) > 1')) == TARGETS)
        begin = time.time()
        for t in targets:
            t.faulty = True
        watch = Watch(kvass, targets)
        while time.time() - begin < seconds:
            assert kvass.running(), kvass.output()[-3000:]
            watch.look()
            time.sleep(1)
        for t in targets:
            t.faulty = False
        time.sleep(2 * INTERVAL + 1)
        watch.look()
        ups = verdicts(prometheus, int(time.time() - begin) + 60)
    finally:
        status = kvass.stop()
    assert status == 0 and "op=invariant" not in kvass.output(), kvass.output()[-3000:]
    injected = {t.address: sum(1 for _, fault in t.log if fault) for t in targets}
    failed = {address: sum(1 for _, bad in ups[address] if bad) for address in injected}
    odd = judge(targets, ups, watch, say)
    kinds = {}
    for t in targets:
        for _, fault in t.log:
            kinds[fault] = kinds.get(fault, 0) + 1
    quarter = max(1, len(watch.memory) // 4)
    first, last = max(watch.memory[:quarter * 2]), max(watch.memory[-quarter:])
    report = {"seconds": seconds, "scrapes": sum(len(t.log) for t in targets), "faults": sum(injected.values()),
              "failed scrapes": sum(failed.values()), "kinds": {str(k): v for k, v in kinds.items()},
              "reasons": {str(k): v for k, v in watch.seen.items()}, "odd": odd, "RSS first half kB": first, "RSS last quarter kB": last}
    print(json.dumps(report, indent=1))
    assert not odd, odd
    assert failed == injected, (failed, injected)
    assert not watch.wrong, watch.wrong
    assert last < first * 1.1 + 4096 * PATIENCE, (first, last)
    return report


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as d:
        run(60 * float(sys.argv[1]) if len(sys.argv) > 1 else 1800, d, lambda text: print(text, flush=True))
