"""The shipped manifests, unmodified, on a real control plane: the demo overlay comes up with three shards of two targets each, and stays
whole while pods, coordinators, the API server and the number of targets change."""
import os
import signal
import subprocess
import time
import urllib.request

import plane
import pytest
from harness import wait_for
from kube_cluster import SERIES, TARGETS, Cluster, assert_no_gap, get_json, kubectl, settled

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

    def test_a_coordinator_cut_off_from_the_api_server_gives_way(cluster):
        """It goes on reaching the shards, so it has to stop by its own clock; the other one takes over, and nothing moves."""
        before = cluster.spread()
        old = cluster.holder()
        address = cluster.coordinator().rsplit(":", 1)[0]
        begin = time.monotonic()
        route = ["blackhole", address + "/32"]  # what the API server answers never arrives
        subprocess.run(["ip", "route", "add", *route], check=True)
        try:
            wait_for("another holder", 60, lambda: cluster.holder() not in ("", old))
            wait_for("one that acts", 60, cluster.acts)
        finally:
            subprocess.run(["ip", "route", "del", *route], check=True)

        def stands_by():
            with urllib.request.urlopen(f"http://{address}:9090/metrics", timeout=5) as answer:
                return b"kvass_k8s_lease_held 0" in answer.read()
        wait_for("the old one to stand by", 60, stands_by)
        time.sleep(10)
        assert cluster.spread() == before
        assert cluster.replicas() == 3
        assert_no_gap(cluster, int(time.monotonic() - begin))

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

    def test_the_rights_are_enough_and_all_of_them_are_used(cluster):
        """After all of the above: nothing was refused, and no rule names a verb that nobody needed."""
        seen = plane.audited("kvass-coordinator")
        refused = {key: codes for key, codes in seen.items() if 403 in codes}
        assert not refused
        granted = set()
        roles = [cluster.api.get("/apis/rbac.authorization.k8s.io/v1/namespaces/kvass/roles/kvass-coordinator"),
                 cluster.api.get("/apis/rbac.authorization.k8s.io/v1/clusterroles/kvass-discovery")]
        for rule in (r for role in roles for r in role["rules"]):
            granted |= {(v, g, r) for v in rule["verbs"] for g in rule["apiGroups"] for r in rule["resources"]}
        assert granted == set(seen), "granted, but not used, or used by another right"
        assert plane.audited("kvass-shard") == {}

else:

    def test_on_the_control_plane():
        plane.run(__file__, seconds=900, audit=True)
