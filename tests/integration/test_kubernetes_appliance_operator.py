"""The overlay `appliance` with the component `operator`: every job comes from a PodMonitor, and the pods balance themselves."""
import json
import os
import subprocess
import urllib.error

import plane
import pytest
from harness import SOURCE, wait_for
from kube_cluster import DEPLOY, SERIES, Cluster, kubectl, settled

CRDS = os.path.join(SOURCE, "tests", "integration", "operator_crds.yaml")
MONITORS = "/apis/monitoring.coreos.com/v1/namespaces/kvass/podmonitors"
TARGETS = 4  # two shards

if plane.is_inside():

    def served(api):
        try:
            return api.get(MONITORS)["kind"] == "PodMonitorList"
        except urllib.error.HTTPError:
            return False

    def monitor(name, endpoint):
        return {"apiVersion": "monitoring.coreos.com/v1", "kind": "PodMonitor", "metadata": {"name": name}, "spec": {
            "selector": {"matchLabels": {"app.kubernetes.io/name": "metrics"}}, "podMetricsEndpoints": [{"port": "metrics", **endpoint}]}}

    @pytest.fixture(scope="module")
    def cluster(tmp_path_factory):
        folder = os.path.realpath(tmp_path_factory.mktemp("overlay"))
        up = os.path.relpath(os.path.realpath(DEPLOY), folder)
        with open(os.path.join(folder, "prometheus.yml"), "w") as f:
            f.write("global: {scrape_interval: 5s}\n")
        with open(os.path.join(folder, "kustomization.yaml"), "w") as f:
            json.dump({"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization", "namespace": "kvass",
                       "resources": [f"{up}/overlays/appliance"], "components": [f"{up}/components/operator"],
                       "replicas": [{"name": "metrics", "count": TARGETS}], "generatorOptions": {"disableNameSuffixHash": True},
                       "configMapGenerator": [{"name": "kvass-prometheus", "behavior": "replace", "files": ["prometheus.yml"]}]}, f)
        c = Cluster()
        try:
            kubectl("apply", "-f", CRDS)
            wait_for("the definitions to be served", 120, lambda: served(c.api))
            subprocess.run(["kubectl", "apply", "-k", folder], check=True, capture_output=True, timeout=120)
            c.api.create(MONITORS, monitor("metrics", {}))
            c.api.create(MONITORS, monitor("bad", {"interval": "5s", "scrapeTimeout": "1m"}))
            yield c
        finally:
            c.close()

    def test_the_monitor_s_targets_are_spread(cluster):
        wait_for("two shards with all targets", 600, settled(cluster, 2, TARGETS))
        wait_for("all series", 180, lambda: cluster.series() == TARGETS * SERIES)

    def test_what_is_bad_gets_its_event(cluster):
        def told():
            return [m for m in cluster.events("InvalidConfiguration") if "scrapeTimeout 1m is greater than interval 5s" in m]
        wait_for("the Event", 180, told)

    def test_another_holder_keeps_them(cluster):
        before = wait_for("the targets", 300, settled(cluster, 2, TARGETS))
        holder = wait_for("a holder", 180, cluster.holder)
        cluster.api.delete(f"/api/v1/namespaces/kvass/pods/{holder.rsplit('_', 1)[0]}")
        wait_for("another holder", 180, lambda: cluster.holder() not in ("", holder))
        wait_for("one that acts", 180, cluster.acts)
        wait_for("the same targets", 300, lambda: cluster.spread() == before)
        assert cluster.replicas() == 2

    def test_a_monitor_that_is_deleted_goes(cluster):
        cluster.api.delete(f"{MONITORS}/metrics")
        wait_for("no target anywhere", 300, lambda: not any(cluster.spread().values()))

else:

    def test_on_the_control_plane():
        plane.run(__file__, seconds=2400)
