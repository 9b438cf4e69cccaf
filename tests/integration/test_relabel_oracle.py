"""kvass check service-discovery against promtool's of every version at hand: random rule chains on random targets must end in the same labels, and
what one refuses the other refuses. Each target is a group of its own, since promtool merges equal results within a group.

promtool overwrites reported discoveredLabels while relabelling (a known fault), so `labels` is compared, and discoveredLabels
only for chains that change nothing. KVASS_LONG=1 runs more; KVASS_SEED=n starts elsewhere."""
import collections
import concurrent.futures
import json
import os
import pathlib
import random
import shutil
import subprocess

import pytest

import relabel_cases

LONG = os.environ.get("KVASS_LONG") == "1"
SEED = int(os.environ.get("KVASS_SEED", "1"))
CHAINS = 5000 if LONG else 350  # for each version
TARGETS = 25
KVASS = str(pathlib.Path(os.environ.get("top_builddir", ".")) / "kvass")


def kvass(path, *options):
    return subprocess.run([KVASS, "check", "service-discovery", *options, str(path), "j"], capture_output=True, text=True, timeout=120)


def promtool(version, path, want):
    """promtool always waits its whole timeout; a loaded machine may need a longer one to see every target."""
    for timeout in ("200ms", "2s", "10s"):
        run = subprocess.run([version.promtool, "check", "service-discovery", "--timeout=" + timeout, str(path), "j"], capture_output=True,
                             text=True, timeout=120)
        if run.returncode != 0 or len(json.loads(run.stdout)) == want:
            break
    return run


def outcomes(text):
    return collections.Counter(json.dumps([t["labels"], "error" in t], sort_keys=True, ensure_ascii=False) for t in json.loads(text))


def compare(version, number, folder):
    """None, or what differs."""
    conf, static, listed = relabel_cases.job(random.Random(SEED * 1000003 + number), TARGETS, version.number < (2, 50))
    folder.mkdir()
    path = relabel_cases.write(conf, static, listed, folder)
    theirs, ours = promtool(version, path, TARGETS), kvass(path, version.option)
    if theirs.returncode != 0 or ours.returncode != 0:
        if theirs.returncode == ours.returncode:
            return None
        return f"{path}: promtool {theirs.returncode} {theirs.stderr}, kvass {ours.returncode} {ours.stderr}"
    want, got = outcomes(theirs.stdout), outcomes(ours.stdout)
    if want != got:
        return f"{path}: only promtool: {list((want - got))[:3]}, only kvass: {list((got - want))[:3]}"
    shutil.rmtree(folder)
    return None


def test_random_chains(tmp_path, version):
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        differences = [d for d in pool.map(lambda n: compare(version, n, tmp_path / str(n)), range(CHAINS)) if d]
    assert not differences, f"{len(differences)} of {CHAINS} chains differ:\n" + "\n".join(differences[:5])


def test_most_targets_are_kept(tmp_path):
    """The generator must not drop or refuse nearly everything: then the comparison would prove nothing."""
    total = kept = refused = 0
    for number in range(40):
        conf, static, listed = relabel_cases.job(random.Random(SEED * 1000003 + number), TARGETS)
        folder = tmp_path / str(number)
        folder.mkdir()
        run = kvass(relabel_cases.write(conf, static, listed, folder))
        if run.returncode != 0:
            refused += 1
            continue
        results = json.loads(run.stdout)
        total += len(results)
        kept += sum(1 for t in results if t["labels"])
    assert total > 500 and kept > total / 3 and 0 < refused < 20, (total, kept, refused)


def test_discovered_labels(tmp_path, version):
    conf, static, listed = relabel_cases.job(random.Random(SEED), TARGETS)
    conf["relabel_configs"] = [{"action": "drop", "source_labels": ["job"], "regex": "never"}]
    # promtool 2 gives no labels at all for a target it refuses
    path = relabel_cases.write(conf, static, listed, tmp_path)
    theirs = [t for t in json.loads(promtool(version, path, TARGETS).stdout) if t["discoveredLabels"] or version.major > 2]
    ours = [t for t in json.loads(kvass(path, version.option).stdout) if "error" not in t or version.major > 2]
    key = lambda t: json.dumps([t["discoveredLabels"], t["labels"]], sort_keys=True)  # noqa: E731
    for t in ours + theirs:
        name = t["discoveredLabels"].get("__meta_filepath", "")
        t["discoveredLabels"]["__meta_filepath"] = os.path.basename(name)
    assert len(theirs) > 5
    assert sorted(map(key, theirs)) == sorted(map(key, ours))


def test_unknown_job(tmp_path):
    path = relabel_cases.write({"job_name": "other"}, [{"targets": ["h:1"]}], [], tmp_path)
    run = kvass(path)
    assert run.returncode == 1 and "Job j not found. Select one of:\n\tother" in run.stderr


def test_error_is_in_words(tmp_path):
    path = relabel_cases.write({"job_name": "j", "relabel_configs": []}, [{"targets": [""], "labels": {"a": "b"}}], [], tmp_path)
    answer = json.loads(kvass(path).stdout)
    assert answer[0]["error"] == "no address" and answer[0]["labels"] == {} and answer[0]["discoveredLabels"]["a"] == "b"


def test_major_versions_differ(tmp_path):
    rules = [{"source_labels": ["a"], "target_label": "b"}]
    path = relabel_cases.write({"job_name": "j", "relabel_configs": rules}, [{"targets": ["h"], "labels": {"a": "1\n2"}}], [], tmp_path)
    two, three = (json.loads(kvass(path, "--prometheus.version=" + v).stdout)[0]["labels"] for v in ("2.42", "3.5"))
    assert "b" not in two and two["instance"] == "h:80"
    assert three["b"] == "1\n2" and three["instance"] == "h"


def test_unreadable_file_is_reported(tmp_path):
    path = relabel_cases.write({"job_name": "j"}, [], [{"targets": ["h:1"]}], tmp_path)
    (tmp_path / "targets.yml").unlink(missing_ok=True)
    (tmp_path / "targets.json").write_text("[")
    text = path.read_text().replace("targets.yml", "targets.json")
    path.write_text(text)
    run = kvass(path, "--timeout=200ms")
    assert run.returncode == 1 and json.loads(run.stdout) == [] and "targets.json" in run.stderr
