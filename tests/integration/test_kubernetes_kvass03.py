"""An installation of Kvass 0.3 with nothing changed but the image: no rights to Leases, to the scale subresource or to watch StatefulSets,
an emptyDir as store, a configuration that a reloader writes, no shard to begin with."""
import os
import sys
import time

import plane
import pytest
from harness import SOURCE, wait_for
from kube_cluster import SERIES, TARGETS, Cluster, fetch, kubectl, settled

HERE = os.path.join(SOURCE, "tests", "integration")

if plane.is_inside():

    @pytest.fixture(scope="module")
    def cluster():
        c = Cluster("default", {"reloader": f"{sys.executable} {HERE}/kube_reloader.py"})
        try:
            kubectl("apply", "-f", os.path.join(HERE, "kvass03.yaml"))
            yield c
        finally:
            c.close()

    def test_it_comes_up(cluster):
        spread = wait_for("three shards with six targets", 600, settled(cluster, 3, TARGETS))
        assert sorted(len(names) for names in spread.values()) == [2, 2, 2]
        wait_for("all series", 180, lambda: cluster.series() == TARGETS * SERIES)

    def test_the_coordinator_restarts(cluster):
        """The new one finds what the shards hold, and moves nothing."""
        before = wait_for("the six targets", 300, settled(cluster, 3, TARGETS))
        kubectl("-n", "default", "delete", "pod", "-l", "app.kubernetes.io/name=kvass-coordinator")

        def acts():
            (pod,) = cluster.pods("app.kubernetes.io/name=kvass-coordinator")
            return b"kvass_balancer_acting 1\n" in fetch(f"http://{pod['status']['podIP']}:9090/metrics")
        wait_for("a new one that acts", 300, acts)
        time.sleep(10)
        wait_for("the targets where they were", 120, lambda: cluster.spread() == before)
        assert cluster.replicas() == 3

else:

    def test_on_the_control_plane():
        plane.run(__file__, seconds=2400)
