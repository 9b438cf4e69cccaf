"""What manifests must have whatever made them, kustomize or Helm: checked on the objects alone, before any server sees them."""

WORKLOADS = ("Deployment", "StatefulSet")


def of_kind(objects, *kinds):
    return [o for o in objects if o["kind"] in kinds]


def names(objects, *kinds):
    return {o["metadata"]["name"] for o in of_kind(objects, *kinds)}


def matches(selector, labels):
    return all(labels.get(k) == v for k, v in selector.items())


def template(workload):
    return workload["spec"]["template"]


def port_names(pod):
    return {p["name"] for c in pod["spec"]["containers"] for p in c.get("ports", [])}


def check_pod(objects, workload):
    """Restricted Pod Security, and every name it goes by exists."""
    pod, where = template(workload), workload["metadata"]["name"]
    spec, security = pod["spec"], pod["spec"]["securityContext"]
    assert matches(workload["spec"]["selector"]["matchLabels"], pod["metadata"]["labels"]), where
    assert security["runAsNonRoot"] is True and security["seccompProfile"] == {"type": "RuntimeDefault"} and security.get("runAsUser") != 0, where
    for c in spec["containers"] + spec.get("initContainers", []):
        s = c["securityContext"]
        assert s["allowPrivilegeEscalation"] is False and s["capabilities"] == {"drop": ["ALL"]} and s["readOnlyRootFilesystem"], (where, c["name"])
        own = {p["name"]: p for p in c.get("ports", [])}
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            port = c.get(probe, {}).get("httpGet", {}).get("port", 1)
            assert isinstance(port, int) or port in own, (where, c["name"], probe)
        volumes = {v["name"] for v in spec.get("volumes", [])} | {t["metadata"]["name"] for t in workload["spec"].get("volumeClaimTemplates", [])}
        assert {m["name"] for m in c.get("volumeMounts", [])} <= volumes, (where, c["name"])
    for v in spec.get("volumes", []):
        assert "configMap" not in v or v["configMap"]["name"] in names(objects, "ConfigMap"), (where, v)
        assert set(v) - {"name"} <= {"configMap", "emptyDir", "secret", "projected"}, (where, v)
    assert spec.get("serviceAccountName", "default") in names(objects, "ServiceAccount") | {"default"}, where


def check_rights(objects):
    """Every binding binds a role that is there to an account that is there."""
    accounts = names(objects, "ServiceAccount")
    for b in of_kind(objects, "RoleBinding", "ClusterRoleBinding"):
        assert b["roleRef"]["name"] in names(objects, b["roleRef"]["kind"]), b
        assert all(s["name"] in accounts and s.get("namespace") for s in b["subjects"]), b
    for role in of_kind(objects, "Role", "ClusterRole"):
        for rule in role["rules"]:
            assert "*" not in rule["verbs"] + rule["apiGroups"] + rule["resources"], role["metadata"]["name"]


def check_selectors(objects):
    """Services, policies and budgets mean pods that are there, and ports these have."""
    pods = [template(w) for w in of_kind(objects, *WORKLOADS)]

    def chosen(selector, where):
        found = [p for p in pods if matches(selector, p["metadata"]["labels"])]
        assert found, where
        return found
    for s in of_kind(objects, "Service"):
        ports = set().union(*(port_names(p) for p in chosen(s["spec"]["selector"], s["metadata"]["name"])))
        assert {p["targetPort"] for p in s["spec"]["ports"]} <= ports, s["metadata"]["name"]
    for b in of_kind(objects, "PodDisruptionBudget"):
        chosen(b["spec"]["selector"]["matchLabels"], b["metadata"]["name"])
        assert b["spec"]["maxUnavailable"] == 1
    for n in of_kind(objects, "NetworkPolicy"):
        found = chosen(n["spec"]["podSelector"]["matchLabels"], n["metadata"]["name"])
        for rule in n["spec"]["ingress"]:
            assert {p["port"] for p in rule["ports"]} <= set().union(*(port_names(p) for p in found)), n["metadata"]["name"]


def check(objects):
    keys = [(o["kind"], o["metadata"].get("namespace"), o["metadata"]["name"]) for o in objects]
    assert len(keys) == len(set(keys))
    for w in of_kind(objects, *WORKLOADS):
        check_pod(objects, w)
    for s in of_kind(objects, "StatefulSet"):
        assert "replicas" not in s["spec"], "the number of shards is the coordinator's"
        assert s["spec"]["serviceName"] in names(objects, "Service")
    check_rights(objects)
    check_selectors(objects)


def reachable_ports(objects, workload, source):
    """Names of the ports of a workload's pods that pods with the labels `source` in the same namespace may connect to."""
    labels = template(workload)["metadata"]["labels"]
    policies = [n for n in of_kind(objects, "NetworkPolicy") if matches(n["spec"]["podSelector"]["matchLabels"], labels)]
    if not policies:
        return port_names(template(workload))
    rules = [r for n in policies for r in n["spec"]["ingress"]]
    return {p["port"] for r in rules for p in r["ports"]
            if any(matches(f["podSelector"].get("matchLabels", {}), source) for f in r["from"])}
