"""The overlay `appliance`, unmodified, on a real control plane: no coordinator, the pod that holds the Lease balances all of them."""
import time

import plane
import pytest
from harness import wait_for
from kube_cluster import SERIES, TARGETS, Cluster, assert_no_gap, settled

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
        spread = wait_for("three shards with six targets", 180, settled(cluster, 3, TARGETS))
        assert sorted(len(names) for names in spread.values()) == [2, 2, 2]
        wait_for("all series", 60, lambda: cluster.series() == TARGETS * SERIES)
        assert cluster.holder().startswith("prometheus-rep-0-")
        assert cluster.events("ScaledUp")

    def test_the_holder_dies_and_another_acts(cluster):
        before = cluster.spread()
        holder = cluster.holder()
        pod = holder.rsplit("_", 1)[0]
        begin = time.monotonic()
        cluster.api.delete(f"/api/v1/namespaces/kvass/pods/{pod}")
        wait_for("another holder", 60, lambda: cluster.holder() not in ("", holder))
        wait_for("one that acts", 60, cluster.acts)
        wait_for("the same targets", 90, lambda: cluster.spread() == before)
        assert cluster.replicas() == 3
        lost = before[pod]
        seconds = int(time.monotonic() - begin)
        assert_no_gap(cluster, seconds, but=lost)

else:

    def test_on_the_control_plane():
        plane.run(__file__, seconds=600)
