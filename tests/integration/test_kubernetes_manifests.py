"""Every overlay as kustomize renders it, every object accepted by a real API server; the overlay `thanos` runs, with a stand-in where Thanos
would be; the disruption budgets count the pods they are for."""
import copy
import json
import os
import subprocess
import sys

import kube_manifests as manifests
import plane
import pytest
import yaml
from harness import SOURCE, wait_for
from kube_cluster import DEPLOY, Cluster, get_json, kubectl

OVERLAYS = ("demo", "ha", "appliance", "thanos")
HERE = os.path.join(SOURCE, "tests", "integration")


def render(folder):
    done = subprocess.run(["kubectl", "kustomize", folder], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and done.stderr == "", done.stderr
    return [o for o in yaml.safe_load_all(done.stdout) if o]


def by_name(objects, kind, name):
    (found,) = [o for o in manifests.of_kind(objects, kind) if o["metadata"]["name"] == name]
    return found


def with_budgets(tmp_path, overlay):
    """An overlay and the component `pdb`, as a kustomization of the user's."""
    folder = tmp_path / "with-pdb"
    folder.mkdir()
    up = os.path.relpath(DEPLOY, folder)
    (folder / "kustomization.yaml").write_text(json.dumps({
        "apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization", "namespace": "kvass",
        "resources": [f"{up}/overlays/{overlay}"], "components": [f"{up}/components/pdb"]}))
    return render(str(folder))


if plane.is_inside():

    @pytest.mark.parametrize("overlay", OVERLAYS)
    def test_what_every_overlay_must_have(overlay):
        objects = render(os.path.join(DEPLOY, "overlays", overlay))
        manifests.check(objects)
        (namespace,) = manifests.of_kind(objects, "Namespace")
        assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
        for o in objects:
            assert o["kind"] in ("Namespace", "ClusterRole", "ClusterRoleBinding") or o["metadata"]["namespace"] == "kvass", o["metadata"]

    def test_the_second_replica_is_the_first_by_another_name():
        objects = render(os.path.join(DEPLOY, "overlays", "ha"))
        first, second = (by_name(objects, "StatefulSet", f"prometheus-rep-{i}") for i in (0, 1))
        assert json.loads(json.dumps(first["spec"]).replace("rep-0", "rep-1")) == second["spec"]
        assert {k: v for k, v in first["metadata"]["labels"].items() if k != "app.kubernetes.io/part-of"} == \
               {k: v for k, v in second["metadata"]["labels"].items() if k != "app.kubernetes.io/part-of"}

    @pytest.mark.parametrize("overlay", OVERLAYS)
    def test_who_reaches_whom(overlay):
        """A coordinator and the shards reach the sidecars, others do not; everybody in the namespace reaches what is to be read."""
        objects = render(os.path.join(DEPLOY, "overlays", overlay))
        shards = by_name(objects, "StatefulSet", "prometheus-rep-0")
        coordinator = {"app.kubernetes.io/name": "kvass", "app.kubernetes.io/component": "coordinator"}
        reader = {"app.kubernetes.io/name": "grafana"}
        assert "api" in manifests.reachable_ports(objects, shards, coordinator)
        assert "api" in manifests.reachable_ports(objects, shards, manifests.template(shards)["metadata"]["labels"])
        assert manifests.reachable_ports(objects, shards, reader) == {"web"}
        if overlay == "thanos":
            query = by_name(objects, "Deployment", "thanos-query")
            assert "grpc" in manifests.reachable_ports(objects, shards, manifests.template(query)["metadata"]["labels"])

    @pytest.mark.parametrize("overlay", OVERLAYS)
    def test_the_api_server_takes_them(overlay):
        """Each object, by the server's own validation; strict: no field that it does not know."""
        kubectl("apply", "--dry-run=client", "--validate=true", "-k", os.path.join(DEPLOY, "overlays", overlay))
        done = kubectl("create", "namespace", "kvass", check=False)
        assert done == "" or "created" in done
        said = kubectl("apply", "--dry-run=server", "--validate=true", "-k", os.path.join(DEPLOY, "overlays", overlay))
        assert said.count("server dry run") == len(render(os.path.join(DEPLOY, "overlays", overlay))), said

    def test_the_budgets_count_their_pods(tmp_path):
        """In policy/v1beta1, the form this server has: the fields are those of policy/v1."""
        objects = with_budgets(tmp_path, "ha")
        manifests.check(objects)
        budgets = manifests.of_kind(objects, "PodDisruptionBudget")
        assert {b["apiVersion"] for b in budgets} == {"policy/v1"} and len(budgets) == 2
        for b in budgets:
            older = copy.deepcopy(b)
            older["apiVersion"] = "policy/v1beta1"
            plane.Api().create("/apis/policy/v1beta1/namespaces/kvass/poddisruptionbudgets", older)

    def test_the_thanos_overlay_runs():
        cluster = Cluster(images={"thanos": f"{sys.executable} {HERE}/kube_thanos.py"})
        try:
            cluster.apply("thanos")
            for name in ("prometheus-rep-0", "prometheus-rep-1"):
                wait_for(f"{name} and its sidecars", 300, lambda: cluster.is_rolled_out("statefulsets", name))
            for name in ("thanos-query", "kvass-coordinator"):
                wait_for(name, 300, lambda: cluster.is_rolled_out("deployments", name))
            wait_for("a coordinator that acts", 180, cluster.acts)
            wait_for("one shard in each replica", 180, lambda: len(cluster.shards()) == 2)
            seen = set()
            for p in cluster.shards():
                config = yaml.safe_load(get_json(f"http://{p['status']['podIP']}:9090/api/v1/status/config")["data"]["yaml"])
                labels = config["global"]["external_labels"]
                seen.add((labels["shard"], labels["replica"]))
                flags = get_json(f"http://{p['status']['podIP']}:9090/api/v1/status/flags")["data"]
                assert flags["storage.tsdb.min-block-duration"] == flags["storage.tsdb.max-block-duration"] == "2h"
            assert len(seen) == 2 and len({replica for _, replica in seen}) == 2, f"the querier cannot tell the shards apart: {seen}"
            told = plane.Api()
            for name, pods in (("kvass-coordinator", 2), ("prometheus", 2)):
                path = f"/apis/policy/v1beta1/namespaces/kvass/poddisruptionbudgets/{name}"
                wait_for(f"the budget {name}", 120, lambda: told.get(path)["status"].get("expectedPods") == pods)
                wait_for("one that may go", 120, lambda: told.get(path)["status"]["disruptionsAllowed"] == 1)
        finally:
            cluster.close()

else:

    def test_on_the_control_plane():
        plane.run(__file__, seconds=1800)
