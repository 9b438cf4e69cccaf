"""The overlay `ha`, unmodified, on a real control plane: two StatefulSets whose pods of equal ordinal carry the same targets. And the
claims of removed shards, which are deleted only when that was asked for."""
import plane
import pytest
from harness import wait_for
from kube_cluster import Cluster, kubectl

METRICS = {
    "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "metrics", "namespace": "kvass"},
    "spec": {"replicas": 3, "selector": {"matchLabels": {"app": "metrics"}}, "template": {
        "metadata": {"labels": {"app": "metrics"}, "annotations": {"prometheus.io/scrape": "true"}},
        "spec": {"automountServiceAccountToken": False, "terminationGracePeriodSeconds": 1, "containers": [
            {"name": "metrics", "image": "metrics", "args": ["--listen=0.0.0.0:9100", "--series=1000"], "ports": [{"containerPort": 9100}]}]}}}}


ALL_CLAIMS = [f"data-prometheus-rep-{r}-{i}" for r in (0, 1) for i in (0, 1)]


def on_both(cluster, count):
    def check():
        spread = cluster.spread()
        names = set(spread)
        if not names or any(len(v) != len(set(v)) for v in spread.values()):
            return None
        for name in names:
            if name.startswith("prometheus-rep-0-") and spread[name] != spread.get(name.replace("rep-0", "rep-1")):
                return None
        total = sum(len(v) for n, v in spread.items() if n.startswith("prometheus-rep-0-"))
        return spread if total == count and len(names) % 2 == 0 else None
    return check


def set_arguments(cluster, *extra):
    """The coordinator with further arguments, as an overlay of the user would give them; returns once one that has them acts."""
    path = "/apis/apps/v1/namespaces/kvass/deployments/kvass-coordinator"
    container = cluster.api.get(path)["spec"]["template"]["spec"]["containers"][0]
    names = {a.split("=")[0] for a in extra}
    args = [a for a in container["args"] if a.split("=")[0] not in names] + list(extra)
    cluster.roll_out("deployments", "kvass-coordinator",
                     {"spec": {"template": {"spec": {"containers": [{"name": container["name"], "args": args}]}}}}, plane.STRATEGIC)
    wait_for("a coordinator that acts", 180, cluster.acts)


def both_have(cluster, count):
    return cluster.replicas() == count and cluster.replicas("prometheus-rep-1") == count


def claims(cluster):
    return sorted(c["metadata"]["name"] for c in cluster.api.get("/api/v1/namespaces/kvass/persistentvolumeclaims")["items"])


class since:
    """Where the audit log was."""
    came_up = 0


if plane.is_inside():

    @pytest.fixture(scope="module")
    def cluster():
        c = Cluster()
        try:
            c.apply("ha")
            c.api.create("/apis/apps/v1/namespaces/kvass/deployments", METRICS)
            yield c
        finally:
            c.close()

    def test_both_replicas_carry_the_same_targets(cluster):
        wait_for("three targets on both replicas", 600, on_both(cluster, 3))
        since.came_up = plane.audit_end()

    def test_one_replica_of_a_pair_may_go(cluster):
        before = wait_for("three targets on both replicas", 300, on_both(cluster, 3))
        (uid,) = [p["metadata"]["uid"] for p in cluster.shards() if p["metadata"]["name"] == "prometheus-rep-1-0"]
        cluster.api.delete("/api/v1/namespaces/kvass/pods/prometheus-rep-1-0")
        wait_for("a new pod", 180, lambda: [p for p in cluster.shards() if p["metadata"]["name"] == "prometheus-rep-1-0" and p["metadata"]["uid"] != uid])
        wait_for("everything as before", 300, lambda: cluster.spread() == before)

    def test_claims_stay_unless_asked_for(cluster):
        # Of what is scraped: a head keeps the series of targets that have left for hours.
        limits = ("--move.cool-down=1s", "--shard.max-process-series=2500", "--shard.max-idle-time=5s", "--coordinator.interval=2s", "--shard.min-shard=1")
        set_arguments(cluster, *limits)
        wait_for("two shards in each replica", 300, lambda: both_have(cluster, 2))
        wait_for("their claims", 120, lambda: claims(cluster) == ALL_CLAIMS)
        wait_for("three targets on both replicas", 300, on_both(cluster, 3))
        kubectl("-n", "kvass", "scale", "deployment", "metrics", "--replicas=1")
        wait_for("one shard", 420, lambda: both_have(cluster, 1))
        wait_for("its pods gone", 120, lambda: all(cluster.is_rolled_out("statefulsets", f"prometheus-rep-{r}") for r in (0, 1)))
        assert claims(cluster) == ALL_CLAIMS

    def test_claims_are_deleted_when_asked_for(cluster):
        kubectl("-n", "kvass", "create", "role", "claims", "--verb=list,delete", "--resource=persistentvolumeclaims")
        kubectl("-n", "kvass", "create", "rolebinding", "claims", "--role=claims", "--serviceaccount=kvass:kvass-coordinator")
        set_arguments(cluster, "--shard.delete-pvc=true")
        kubectl("-n", "kvass", "scale", "deployment", "metrics", "--replicas=3")
        wait_for("two shards in each replica", 300, lambda: both_have(cluster, 2))
        wait_for("three targets on both replicas", 300, on_both(cluster, 3))
        assert claims(cluster) == ALL_CLAIMS
        kubectl("-n", "kvass", "scale", "deployment", "metrics", "--replicas=1")
        wait_for("one shard", 420, lambda: both_have(cluster, 1))
        assert cluster.most_shards() == 2, "more shards than the targets need"
        wait_for("the claims of removed shards gone", 300, lambda: claims(cluster) == [c for c in ALL_CLAIMS if c.endswith("-0")])

    def test_the_rights_are_enough_and_all_of_them_are_used(cluster):
        """After all of the above: those of the overlay, and the two that were added for the claims."""
        cluster.assert_rights(since.came_up)

else:

    def test_on_the_control_plane():
        plane.run(__file__, seconds=3000, audit=True)
