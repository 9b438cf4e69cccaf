"""Remote stores for the tests, the global view of many shards: a Prometheus that takes remote writes, and VictoriaMetrics. And how the
tests tell that nothing was lost on the way there."""
import json
import os
import threading
import time
import urllib.parse

from harness import PATIENCE, PROMETHEUS, Process, free_ports, get_data, http, wait_for, write


class PrometheusStore:
    def __init__(self, world, name="receiver", out_of_order="", binary=PROMETHEUS, host="127.0.0.1"):
        port = free_ports(1)[0]
        self.url = f"http://{host}:{port}"
        self.write_url = self.url + "/api/v1/write"
        config = os.path.join(world.directory, name + ".yml")
        write(config, f"storage: {{tsdb: {{out_of_order_time_window: {out_of_order}}}}}\n" if out_of_order else "scrape_configs: []\n")
        self.process = world.keep(Process(
            [binary, f"--config.file={config}", f"--storage.tsdb.path={world.directory}/{name}", f"--web.listen-address={host}:{port}",
             "--web.enable-remote-write-receiver", "--log.level=warn"], os.path.join(world.directory, name + ".log")))
        wait_for("the Prometheus that is the store", 60, lambda: http(self.url + "/-/ready")[0] == 200)

    def has_refused_doubles(self):
        """Two shards scraped in the same millisecond, by chance: it takes the first only, and nothing of the batch with the second."""
        return "duplicate sample" in self.process.output()

    def samples(self, begin, end, selector="up"):
        """{instance: [(time, value)]}: raw samples, stale markers left out as every query does."""
        expression = urllib.parse.quote(f"{selector}[{int(end - begin)}s]")
        found = get_data(f"{self.url}/api/v1/query?query={expression}&time={end:.3f}")["result"]
        return {r["metric"]["instance"]: [(float(t), float(v)) for t, v in r["values"]] for r in found}


class VictoriaStore:
    """Debian's victoria-metrics."""

    def __init__(self, world, name="victoria", host="127.0.0.1"):
        port = free_ports(1)[0]
        self.url = f"http://{host}:{port}"
        self.write_url = self.url + "/api/v1/write"
        self.process = world.keep(Process(
            ["victoria-metrics", f"-storageDataPath={world.directory}/{name}", f"-httpListenAddr={host}:{port}",
             "-search.latencyOffset=0s", "-search.disableCache", "-memory.allowedBytes=64MB", "-loggerLevel=WARN"],
            os.path.join(world.directory, name + ".log")))
        wait_for("VictoriaMetrics", 60, lambda: http(self.url + "/health")[0] == 200)

    def has_refused_doubles(self):
        return False

    def raw(self, begin, end, selector="up"):
        """{instance: [(time, value)]} as stored: a stale marker is a value that is not a number."""
        http(self.url + "/internal/force_flush")
        text = http(f"{self.url}/api/v1/export?" + urllib.parse.urlencode(
            {"match[]": selector, "start": f"{begin:.3f}", "end": f"{end:.3f}", "reduce_mem_usage": "1"}))[1]
        found = {}
        for line in filter(None, text.splitlines()):
            block = json.loads(line)
            values = [float("nan") if v is None else float(v) for v in block["values"]]
            found.setdefault(block["metric"]["instance"], []).extend(zip([t / 1000 for t in block["timestamps"]], values))
        return {i: sorted(s, key=lambda s: s[0]) for i, s in found.items()}

    def samples(self, begin, end, selector="up"):
        return {i: [s for s in v if s[1] == s[1]] for i, v in self.raw(begin, end, selector).items()}


class Stalls:
    """Times at which this machine gave this process no turn for a while: what is late then proves nothing."""

    def __init__(self, world, longer_than=0.7):
        self.found, self.limit, self.is_over = [], longer_than, threading.Event()
        self.thread = threading.Thread(target=self.watch, daemon=True)
        self.thread.start()
        world.started.append(self.stop)

    def watch(self):
        last = time.time()
        while not self.is_over.wait(0.05):
            now = time.time()
            if now - last > self.limit:
                self.found.append((last, now))
            last = now

    def stop(self):
        self.is_over.set()
        self.thread.join(10)

    def excuse(self, begin, end):
        return any(a < end and begin < b for a, b in self.found)


def good_times(store, begin, end):
    """{instance: times of up == 1}"""
    return {i: [t for t, v in s if v == 1] for i, s in store.samples(begin, end).items()}


def gaps(times, begin, end, interval):
    """(from, to) where a sample is missing: nothing for nearly two intervals, so one that came late is none."""
    times = [begin] + [t for t in times if begin < t < end] + [end]
    return [(a, b) for a, b in zip(times, times[1:]) if b - a > 2 * interval * PATIENCE - 0.1]


def arrived(store, instances, time_s):
    """Whether the store has a good sample of each that is younger than time_s: all older ones are there, too."""
    times = good_times(store, time_s - 1, time.time() + 1)
    return all(i in times and times[i] and times[i][-1] > time_s for i in instances)


def lost(store, instances, begin, end, interval, stalls):
    """What is missing between begin and end, in words. Waits until what is under way has arrived."""
    wait_for("the last samples in the store", 60, lambda: arrived(store, instances, end))
    times = good_times(store, begin - 2 * interval, end + 2 * interval)
    return [f"{i}: nothing from {a - begin:.1f} to {b - begin:.1f} s" for i in instances
            for a, b in gaps(times.get(i, []), begin, end, interval) if not stalls.excuse(a, b)]


def doubles(store, instances, begin, end, interval):
    """Those with clearly more samples than intervals."""
    times = good_times(store, begin, end)
    return [f"{i}: {len(times[i])} samples in {end - begin:.0f} s" for i in instances
            if len(times.get(i, [])) > (end - begin) / interval + 2]
