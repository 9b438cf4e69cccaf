"""An installation of Kvass 0.3 with nothing changed but the image: no rights to Leases, to the scale subresource or to watch StatefulSets,
an emptyDir as store, a configuration that a reloader writes, no shard to begin with."""
import os
import sys

import plane
import pytest
from harness import SOURCE, wait_for
from kube_cluster import SERIES, TARGETS, Cluster, kubectl, settled

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
        spread = wait_for("three shards with six targets", 240, settled(cluster, 3, TARGETS))
        assert sorted(len(names) for names in spread.values()) == [2, 2, 2]
        wait_for("all series", 60, lambda: cluster.series() == TARGETS * SERIES)

    def test_the_coordinator_restarts(cluster):
        before = cluster.spread()
        kubectl("-n", "default", "delete", "pod", "-l", "app.kubernetes.io/name=kvass-coordinator")
        wait_for("a new one", 60, lambda: [p for p in cluster.pods("app.kubernetes.io/name=kvass-coordinator") if p["status"].get("podIP")])
        for _ in range(3):
            assert cluster.spread() == before
        assert cluster.replicas() == 3

else:

    def test_on_the_control_plane():
        plane.run(__file__, seconds=600)
