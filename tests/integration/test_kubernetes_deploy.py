"""The shipped manifests, unmodified, on a real control plane: the demo overlay comes up with three shards of two targets each, and stays
whole while pods, coordinators, the API server and the number of targets change."""
import os
import signal
import subprocess
import time

import plane
import pytest
from harness import wait_for
from kube_cluster import SERIES, TARGETS, Cluster, assert_no_gap, fetch, get_json, kubectl, settled


class since:
    """Where the audit log was."""
    came_up = 0


def stable(cluster):
    """Where the targets are before something happens: all of them up."""
    return wait_for("the six targets on three shards", 300, settled(cluster, 3, TARGETS))


def assert_nothing_changed(cluster, before, begin):
    """A coordinator acts (again), for a few rounds, and since `begin` every target was scraped where it was."""
    wait_for("a coordinator that acts", 300, cluster.acts)
    time.sleep(10)  # two rounds and two intervals of the one that acts
    wait_for("the targets where they were", 120, lambda: cluster.spread() == before)
    assert cluster.replicas() == 3
    assert_no_gap(cluster, int(time.monotonic() - begin))


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
        spread = wait_for("three shards with six targets", 600, settled(cluster, 3, TARGETS))
        assert sorted(len(names) for names in spread.values()) == [2, 2, 2]
        wait_for("all series", 180, lambda: cluster.series() == TARGETS * SERIES)
        assert cluster.replicas() == 3
        assert cluster.events("ScaledUp"), "no Event tells of the scale-up"
        since.came_up = plane.audit_end()  # before, pods may be ahead of the API server's knowledge of their roles

    def test_the_shards_carry_their_names(cluster):
        """external_labels expand ${SHARD}: what a global view tells shards apart by."""
        for p in cluster.shards():
            text = get_json(f"http://{p['status']['podIP']}:9090/api/v1/status/config")["data"]["yaml"]
            assert f"shard: {p['metadata']['name'].rsplit('-', 1)[1]}" in text or f"shard: {p['metadata']['name']}" in text, text[:400]

    def test_a_deleted_shard_pod_comes_back_with_its_targets(cluster):
        before = stable(cluster)
        uid = cluster.shards()[1]["metadata"]["uid"]
        cluster.api.delete("/api/v1/namespaces/kvass/pods/prometheus-rep-0-1")
        wait_for("a new pod", 180, lambda: [p for p in cluster.shards() if p["metadata"]["name"].endswith("-1") and p["metadata"]["uid"] != uid])
        wait_for("the same targets on it", 300, lambda: cluster.spread() == before)
        assert cluster.replicas() == 3

    def test_a_killed_coordinator_changes_nothing(cluster):
        before = stable(cluster)
        holder = cluster.holder().rsplit("_", 1)[0]
        begin = time.monotonic()
        cluster.api.delete(f"/api/v1/namespaces/kvass/pods/{holder}")
        wait_for("another holder", 180, lambda: cluster.holder().rsplit("_", 1)[0] not in ("", holder))
        assert_nothing_changed(cluster, before, begin)

    def test_an_outage_of_the_api_server_changes_nothing(cluster):
        """Long enough for the Lease to be lost by everybody (15 s), and for watches to break."""
        before = stable(cluster)
        begin = time.monotonic()
        seconds = 130  # two minutes and a bit
        servers = plane.pids("kube-apiserver")
        assert servers
        for pid in servers:
            os.kill(pid, signal.SIGSTOP)
        try:
            time.sleep(seconds)
        finally:
            for pid in servers:
                os.kill(pid, signal.SIGCONT)
        assert_nothing_changed(cluster, before, begin)

    def test_a_coordinator_cut_off_from_the_api_server_gives_way(cluster):
        """It goes on reaching the shards, so it has to stop by its own clock; the other one takes over, and nothing moves."""
        before = stable(cluster)
        old = cluster.holder()
        address = cluster.coordinator().rsplit(":", 1)[0]
        begin = time.monotonic()
        route = ["blackhole", address + "/32"]  # what the API server answers never arrives
        subprocess.run(["ip", "route", "add", *route], check=True)
        try:
            wait_for("another holder", 180, lambda: cluster.holder() not in ("", old))
            wait_for("one that acts", 180, cluster.acts)
        finally:
            subprocess.run(["ip", "route", "del", *route], check=True)

        wait_for("the old one to stand by", 180, lambda: b"kvass_k8s_lease_held 0\n" in fetch(f"http://{address}:9090/metrics"))
        assert_nothing_changed(cluster, before, begin)

    def test_a_rolling_update_keeps_every_target(cluster):
        before = stable(cluster)
        uids = {p["metadata"]["uid"] for p in cluster.shards()}
        cluster.roll_out("statefulsets", "prometheus-rep-0", {"spec": {"template": {"metadata": {"annotations": {"rolled": "yes"}}}}})
        assert not uids & {p["metadata"]["uid"] for p in cluster.shards()}
        wait_for("the same targets", 300, lambda: cluster.spread() == before)
        assert cluster.replicas() == 3

    def test_more_pods_more_shards_and_back(cluster):
        kubectl("-n", "kvass", "scale", "deployment", "metrics", "--replicas=9")
        spread = wait_for("five shards with nine targets", 600, settled(cluster, 5, 9))
        assert max(len(names) for names in spread.values()) == 2
        wait_for("all series", 180, lambda: cluster.series() == 9 * SERIES)
        kubectl("-n", "kvass", "scale", "deployment", "metrics", "--replicas=2")
        wait_for("one shard with two targets", 600, settled(cluster, 1, 2))
        assert cluster.replicas() == 1 and cluster.most_shards() == 5, "a scale that nothing needed"
        assert cluster.events("ScaledDown")

    def test_the_rights_are_enough_and_all_of_them_are_used(cluster):
        """After all of the above."""
        cluster.assert_rights(since.came_up)

else:

    def test_on_the_control_plane():
        plane.run(__file__, seconds=3000, audit=True)
