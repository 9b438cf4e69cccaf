"""kvass check config against promtool of each version on mutations of good configurations: what promtool refuses is refused, with
file, line, column, the job where it is in one, and what was expected; what it accepts is accepted.

A key that came with a newer Prometheus is no fault to kvass, which carries it and tells what it needs. Mutations are of sections kvass
reads itself; rule files are not opened. KVASS_LONG=1 runs more; KVASS_SEED=n starts elsewhere."""
import concurrent.futures
import json
import os
import random
import re
import subprocess

import config_mutations
from harness import KVASS, Prometheus, http

LONG = os.environ.get("KVASS_LONG") == "1"
SEED = int(os.environ.get("KVASS_SEED", "1"))
CASES = 5000 if LONG else 200  # for each version
# What promtool says of keys that kvass knows from newer versions.
UNKNOWN = re.compile(r"field \S+ not found in type")
# Found by Prometheus only later: files by promtool without --syntax-only, an address of docker when discovery starts.
FOUND_LATER = re.compile("is not readable; expected a file|is no address of an engine")
# Refusals by promtool of what kvass leaves to Prometheus, each with its reason in docs/versions.md.
LEFT_TO_PROMETHEUS = re.compile("unknown remote write .*protobuf")


def run(*command):
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def needs_newer(output, version):
    found = re.search(r"needs Prometheus (\d+)\.(\d+) for", output)
    return found is not None and (int(found.group(1)), int(found.group(2))) > version.number


def compare(version, number, folder):
    """None, or what differs."""
    path = folder / f"{number}.yml"
    path.write_text(config_mutations.mutated(random.Random(SEED * 1000003 + number), str(folder / "file")))
    ours = run(KVASS, "check", "config", version.option, str(path))
    theirs = run(version.promtool, "check", "config", "--syntax-only", str(path))
    words = theirs.stdout + theirs.stderr
    if ours.returncode == theirs.returncode == 0 or (ours.returncode == 1 and theirs.returncode != 0):
        place = re.match(re.escape(str(path)) + r":\d+:\d+: .", ours.stderr)
        if ours.returncode == 1 and (place is None or ours.stdout != "" or "xpected" not in ours.stderr):
            return f"{path}: no place or no remedy: {ours.stderr}"
        return None
    if ours.returncode == 0 and needs_newer(ours.stdout, version) and (UNKNOWN.search(words) or LEFT_TO_PROMETHEUS.search(words)):
        return None
    if theirs.returncode == 0 and FOUND_LATER.search(ours.stderr):
        return None
    if ours.returncode == 0 and LEFT_TO_PROMETHEUS.search(words):
        return None
    return f"{path}: kvass {ours.returncode} {ours.stdout}{ours.stderr} promtool {theirs.returncode} {words}"


def test_mutations(version, tmp_path):
    (tmp_path / "file").write_text("x")
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        differences = [d for d in pool.map(lambda n: compare(version, n, tmp_path), range(CASES)) if d]
    assert not differences, f"{len(differences)} of {CASES}:\n" + "\n".join(differences[:30])


def test_rendered_good_ones_are_loaded(version, tmp_path):
    """What kvass renders of a good configuration a running Prometheus takes at a reload, in both forms."""
    (tmp_path / "file").write_text("x")
    targets = tmp_path / "targets.json"
    rendered = tmp_path / "prometheus.yml"
    rendered.write_text("global: {scrape_interval: 1h}\n")
    server = Prometheus(str(tmp_path / "prometheus"), str(rendered), binary=version.prometheus)
    try:
        server.wait_ready()
        for tree in config_mutations.good(str(tmp_path / "file")):
            tree.pop("rule_files", None)
            path = tmp_path / "good.yml"
            path.write_text(json.dumps(tree))
            jobs = [j["job_name"] for j in tree.get("scrape_configs", [])]
            labels = {"__address__": "127.0.0.1:1", "__scheme__": "https", "__metrics_path__": "/m", "job": "x", "instance": "i"}
            targets.write_text(json.dumps({"Targets": {j: [{"hash": n + 1, "labels": labels, "series": 0, "totalSeries": 0, "TargetState": ""}]
                                                       for n, j in enumerate(jobs)}}))
            for form in (["--inject.targets=static"], ["--inject.targets=file", f"--inject.target-dir={tmp_path}/t"]):
                done = run(KVASS, "render", version.option, f"--config.file={path}", f"--targets={targets}", "--shard=s-0",
                           "--inject.proxy=http://127.0.0.1:1", *form)
                assert done.returncode == 0, done.stderr
                rendered.write_text(done.stdout)
                assert run(version.promtool, "check", "config", "--syntax-only", str(rendered)).returncode == 0
                status, text = http(server.url + "/-/reload", method="POST")
                assert status == 200, text + server.output()[-2000:] + done.stdout
    finally:
        server.stop()


def test_good_ones_are_good_and_mutations_break(version, tmp_path):
    """Else the comparison would prove nothing."""
    (tmp_path / "file").write_text("x")
    for tree in config_mutations.good(str(tmp_path / "file")):
        path = tmp_path / "good.yml"
        path.write_text(json.dumps(tree))
        assert run(version.promtool, "check", "config", "--syntax-only", str(path)).returncode == 0
        done = run(KVASS, "check", "config", version.option, str(path))
        assert done.returncode == 0, done.stderr
    refused = 0
    for number in range(100):
        path.write_text(config_mutations.mutated(random.Random(number), str(tmp_path / "file")))
        refused += run(KVASS, "check", "config", version.option, str(path)).returncode
    assert 30 < refused < 90, refused
