"""The overlay `appliance`, unmodified, on a real control plane: no coordinator, the pod that holds the Lease balances all of them."""
import os
import signal
import time

import plane
import pytest
from harness import wait_for
from kube_cluster import SERIES, TARGETS, Cluster, assert_no_gap, kubectl, settled


class since:
    """Where the audit log was."""
    came_up = 0


if plane.is_inside():

    @pytest.fixture(scope="module")
    def cluster():
        c = Cluster()
        try:
            c.apply("appliance")
            yield c
        finally:
            c.close()

    def test_it_comes_up(cluster):
        spread = wait_for("three shards with six targets", 600, settled(cluster, 3, TARGETS))
        assert sorted(len(names) for names in spread.values()) == [2, 2, 2]
        wait_for("all series", 180, lambda: cluster.series() == TARGETS * SERIES)
        wait_for("a pod that holds the Lease", 180, lambda: cluster.holder().startswith("prometheus-rep-0-"))
        assert cluster.events("ScaledUp")
        since.came_up = plane.audit_end()

    def test_the_holder_dies_and_another_acts(cluster):
        before = wait_for("the six targets", 300, settled(cluster, 3, TARGETS))
        holder = cluster.holder()
        pod = holder.rsplit("_", 1)[0]
        begin = time.monotonic()
        cluster.api.delete(f"/api/v1/namespaces/kvass/pods/{pod}")
        wait_for("another holder", 180, lambda: cluster.holder() not in ("", holder))
        wait_for("one that acts", 180, cluster.acts)
        wait_for("the same targets", 300, lambda: cluster.spread() == before)
        assert cluster.replicas() == 3
        assert_no_gap(cluster, int(time.monotonic() - begin), but=before[pod])

    def test_a_rolling_update_keeps_every_target(cluster):
        before = wait_for("the six targets", 300, settled(cluster, 3, TARGETS))
        uids = {p["metadata"]["uid"] for p in cluster.shards()}
        cluster.roll_out("statefulsets", "prometheus-rep-0", {"spec": {"template": {"metadata": {"annotations": {"rolled": "yes"}}}}})
        assert not uids & {p["metadata"]["uid"] for p in cluster.shards()}
        wait_for("the same targets", 300, lambda: cluster.spread() == before)
        assert cluster.replicas() == 3

    def test_an_outage_of_the_api_server_changes_nothing(cluster):
        """Every pod's balancer loses the Lease; each pod goes on scraping what it has."""
        before = wait_for("the six targets", 300, settled(cluster, 3, TARGETS))
        begin = time.monotonic()
        servers = plane.pids("kube-apiserver")
        for pid in servers:
            os.kill(pid, signal.SIGSTOP)
        try:
            time.sleep(130)
        finally:
            for pid in servers:
                os.kill(pid, signal.SIGCONT)
        wait_for("one that acts", 300, cluster.acts)
        time.sleep(10)  # two rounds and two intervals
        wait_for("the targets where they were", 120, lambda: cluster.spread() == before)
        assert cluster.replicas() == 3
        assert_no_gap(cluster, int(time.monotonic() - begin))

    def test_more_pods_more_shards_and_back(cluster):
        kubectl("-n", "kvass", "scale", "deployment", "metrics", "--replicas=9")
        wait_for("five shards with nine targets", 600, settled(cluster, 5, 9))
        wait_for("all series", 180, lambda: cluster.series() == 9 * SERIES)
        kubectl("-n", "kvass", "scale", "deployment", "metrics", "--replicas=2")
        wait_for("one shard with two targets", 600, settled(cluster, 1, 2))
        assert cluster.replicas() == 1 and cluster.most_shards() == 5, "a scale that nothing needed"

    def test_the_rights_are_enough_and_all_of_them_are_used(cluster):
        """After all of the above."""
        cluster.assert_rights(since.came_up)

else:

    def test_on_the_control_plane():
        plane.run(__file__, seconds=3000, audit=True)
