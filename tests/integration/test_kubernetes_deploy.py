"""The shipped manifests, unmodified, on a real control plane: the demo overlay comes up with three shards of two targets each, and stays
whole while pods, coordinators, the API server and the number of targets change."""
import json
import os
import signal
import subprocess
import time
import urllib.request

import plane
import pytest
from harness import BUILD, KVASS, SOURCE, wait_for

DEPLOY = os.path.join(SOURCE, "deploy")
SERIES, TARGETS = 10045, 6


def kubectl(*args, check=True):
    done = subprocess.run(["kubectl", *args], capture_output=True, text=True, timeout=120)
    if check and done.returncode != 0:
        raise AssertionError(f"kubectl {' '.join(args)}: {done.stderr[-4000:]}")
    return done.stdout


def get_json(url, seconds=5):
    with urllib.request.urlopen(url, timeout=seconds) as answer:
        return json.loads(answer.read())


class Cluster:
    """The namespace `kvass` of the plane and the kubelet that runs its pods."""

    def __init__(self):
        self.api = plane.Api()
        self.log = open(os.path.join(os.environ["KUBE_RUN"], "log", "kubelet.log"), "w")
        self.kubelet = subprocess.Popen(
            [os.path.join(SOURCE, "tests", "testplane", "kubelet"), "--image", f"kvass={KVASS}", "--image", "prometheus=/usr/bin/prometheus",
             "--image", f"kvass-demo-metrics={BUILD}/tests/tools/kvass-test-exporter", "--termination-max", "5"],
            stdout=self.log, stderr=subprocess.STDOUT)

    def close(self):
        self.kubelet.terminate()
        self.kubelet.wait(60)
        self.log.close()

    def apply(self, overlay):
        kubectl("apply", "-k", os.path.join(DEPLOY, "overlays", overlay))

    def pods(self, selector):
        items = self.api.get(f"/api/v1/namespaces/kvass/pods?labelSelector={selector}")["items"]
        return [p for p in items if "deletionTimestamp" not in p["metadata"]]

    def shards(self, name="prometheus"):
        return sorted(self.pods(f"app.kubernetes.io/name={name}"), key=lambda p: p["metadata"]["name"])

    def replicas(self, name="prometheus-rep-0"):
        return self.api.get(f"/apis/apps/v1/namespaces/kvass/statefulsets/{name}")["spec"]["replicas"]

    def holder(self):
        lease = self.api.get("/apis/coordination.k8s.io/v1/namespaces/kvass/leases/kvass")
        return lease["spec"].get("holderIdentity", "")

    def coordinator(self):
        """The address of the one that acts."""
        name = self.holder().rsplit("_", 1)[0]
        for p in self.pods("app.kubernetes.io/component=coordinator"):
            if p["metadata"]["name"] == name and p["status"].get("podIP"):
                return p["status"]["podIP"]
        return None

    def acts(self):
        """True when the holder of the Lease has taken over and decides."""
        ip = self.coordinator()
        with urllib.request.urlopen(f"http://{ip}:9090/metrics", timeout=5) as answer:
            return b"kvass_k8s_lease_held 1" in answer.read()

    def spread(self):
        """{shard: targets that are up there}, as the shards' own Prometheus servers tell."""
        found = {}
        for p in self.shards():
            ip = p["status"].get("podIP")
            try:
                targets = get_json(f"http://{ip}:9090/api/v1/targets?state=active")["data"]["activeTargets"]
            except (OSError, ValueError):
                targets = []
            found[p["metadata"]["name"]] = sorted(t["labels"]["pod"] for t in targets if t["health"] == "up")
        return found

    def series(self):
        """Distinct series of the demo's metrics, over all shards, from one instant query each."""
        count = 0
        for p in self.shards():
            url = f"http://{p['status']['podIP']}:9090/api/v1/query?query=sum(scrape_samples_post_metric_relabeling)"
            result = get_json(url)["data"]["result"]
            count += int(float(result[0]["value"][1])) if result else 0
        return count

    def up_history(self, seconds):
        """{target: number of samples of up == 1 in the last seconds}, over all shards."""
        seen = {p["metadata"]["name"]: 0 for p in self.pods("app.kubernetes.io/name=metrics")}
        for p in self.shards():
            url = (f"http://{p['status']['podIP']}:9090/api/v1/query?query="
                   f"sum_over_time(up%7Bjob%3D%22metrics%22%7D%5B{seconds}s%5D)")
            try:
                for r in get_json(url)["data"]["result"]:
                    seen[r["metric"]["pod"]] = seen.get(r["metric"]["pod"], 0) + int(float(r["value"][1]))
            except OSError:
                continue
        return seen

    def events(self, reason):
        items = self.api.get("/api/v1/namespaces/kvass/events")["items"]
        return [e["message"] for e in items if e["reason"] == reason]


def assert_no_gap(cluster, seconds):
    """Every target has a good sample for nearly every interval (5 s) of the time that has passed: one may lie on either edge."""
    for target, count in cluster.up_history(seconds).items():
        assert count >= seconds // 5 - 2, f"{target}: {count} good samples in {seconds} s at an interval of 5 s"


def settled(cluster, shards, targets):
    def check():
        spread = cluster.spread()
        pods = sorted(p for names in spread.values() for p in names)
        return spread if len(spread) == shards and len(pods) == targets and len(set(pods)) == targets else None
    return check


if plane.is_inside():

    @pytest.fixture(scope="module")
    def cluster():
        c = Cluster()
        try:
            c.apply("demo")
            yield c
        finally:
            c.close()

    def test_the_demo_comes_up(cluster):
        spread = wait_for("three shards with six targets", 180, settled(cluster, 3, TARGETS))
        assert sorted(len(names) for names in spread.values()) == [2, 2, 2]
        wait_for("all series", 60, lambda: cluster.series() == TARGETS * SERIES)
        assert cluster.replicas() == 3
        assert cluster.events("ScaledUp"), "no Event tells of the scale-up"

    def test_the_shards_carry_their_names(cluster):
        """external_labels expand ${SHARD}: what a global view tells shards apart by."""
        for p in cluster.shards():
            text = get_json(f"http://{p['status']['podIP']}:9090/api/v1/status/config")["data"]["yaml"]
            assert f"shard: {p['metadata']['name'].rsplit('-', 1)[1]}" in text or f"shard: {p['metadata']['name']}" in text, text[:400]

    def test_a_deleted_shard_pod_comes_back_with_its_targets(cluster):
        before = cluster.spread()
        uid = cluster.shards()[1]["metadata"]["uid"]
        cluster.api.delete("/api/v1/namespaces/kvass/pods/prometheus-rep-0-1")
        wait_for("a new pod", 60, lambda: [p for p in cluster.shards() if p["metadata"]["name"].endswith("-1") and p["metadata"]["uid"] != uid])
        wait_for("the same targets on it", 90, lambda: cluster.spread() == before)
        assert cluster.replicas() == 3

    def test_a_killed_coordinator_changes_nothing(cluster):
        before = cluster.spread()
        holder = cluster.holder().rsplit("_", 1)[0]
        begin = time.monotonic()
        cluster.api.delete(f"/api/v1/namespaces/kvass/pods/{holder}")
        wait_for("another holder", 60, lambda: cluster.holder().rsplit("_", 1)[0] not in ("", holder))
        wait_for("a coordinator that acts", 60, lambda: cluster.acts())
        seconds = int(time.monotonic() - begin) + 10
        time.sleep(10)  # two rounds and two intervals of the new one
        assert cluster.spread() == before
        assert cluster.replicas() == 3
        assert_no_gap(cluster, seconds)

    def test_an_outage_of_the_api_server_changes_nothing(cluster):
        """Long enough for the Lease to be lost by everybody (15 s), and for watches to break."""
        before = cluster.spread()
        seconds = 130 if os.environ.get("KVASS_LONG") == "1" else 25
        servers = plane.pids("kube-apiserver")
        assert servers
        for pid in servers:
            os.kill(pid, signal.SIGSTOP)
        try:
            time.sleep(seconds)
        finally:
            for pid in servers:
                os.kill(pid, signal.SIGCONT)
        wait_for("a coordinator that acts", 90, lambda: cluster.acts())
        time.sleep(10)
        assert cluster.spread() == before
        assert cluster.replicas() == 3
        assert_no_gap(cluster, seconds + 10)

    def test_a_rolling_update_keeps_every_target(cluster):
        before = cluster.spread()
        uids = {p["metadata"]["uid"] for p in cluster.shards()}
        cluster.api.patch("/apis/apps/v1/namespaces/kvass/statefulsets/prometheus-rep-0",
                          {"spec": {"template": {"metadata": {"annotations": {"rolled": "yes"}}}}})
        wait_for("new pods everywhere", 180, lambda: len(cluster.shards()) == 3 and not uids & {p["metadata"]["uid"] for p in cluster.shards()})
        wait_for("the same targets", 120, lambda: cluster.spread() == before)
        assert cluster.replicas() == 3

    def test_more_pods_more_shards_and_back(cluster):
        kubectl("-n", "kvass", "scale", "deployment", "metrics", "--replicas=9")
        spread = wait_for("five shards with nine targets", 180, settled(cluster, 5, 9))
        assert max(len(names) for names in spread.values()) == 2
        wait_for("all series", 60, lambda: cluster.series() == 9 * SERIES)
        kubectl("-n", "kvass", "scale", "deployment", "metrics", "--replicas=2")
        wait_for("one shard with two targets", 420, settled(cluster, 1, 2))
        assert cluster.replicas() == 1
        assert cluster.events("ScaledDown")

else:

    def test_on_the_control_plane():
        plane.run(__file__, seconds=900)
