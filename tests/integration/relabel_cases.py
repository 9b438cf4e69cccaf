"""Random scrape jobs for the differential test of relabelling: label values, patterns and rules that lean towards the odd."""
import json
import random

NAMES = ["a", "b", "c", "d", "env", "job", "instance", "__address__", "__scheme__", "__metrics_path__", "__param_module", "__tmp_x",
         "__meta_pod", "__meta_ns", "__meta_label_app", "__meta_label_tier", "__scrape_interval__", "__scrape_timeout__", "Zz", "_"]
VALUES = ["", "a", "b", "ab", "foo", "bar", "foobar", "x-1", "10.0.0.1", "h:80", "h", "host:9100", "a:b:c", "a;b", ";", "true", "false",
          "Über", "ÉTÉ", "straße", "İ", "ǅ", "日本", "😀", "a b", "line1\nline2", "\n", "A_b.C", "1", "007", "$1", "${1}", "\\", "a/b",
          "prod-eu-1", "prod-us-22", "k8s.io/app", "\t", "é", "__x__", "x" * 40]
ADDRESSES = ["h:80", "h", "10.0.0.1:9100", "[::1]:9", "[::1]", "::1", "h:", "a.b.c:1", "a:b:c", "", "ab", "foo", "é:1", "[x", "h]"]
ATOMS = ["a", "b", "foo", "bar", ".", ".*", ".+", "(.*)", "(.+)", "(foo|bar)", "[a-z]+", "[^:]+", "([^:]+)", r"\d+", r"(\d+)", r"\w*", "(?i)foo",
         "(?:a|b)", "(a)?", "(?P<n>.)", "x?", "$", "^", r"\.", ":", ";", "-", "(?s).*", "(?U)(.*)", r"\pL", r"[[:alpha:]]", "|", "a{2,3}", "(a|ab)(b?)",
         r"\Qa.b\E", "é", r"\s", "_", "[^a]*", "(?P<n>a)|(?P<n>b)", ".*?", "(.+?)", r"\b", "(|a)+", r"\x{e9}", "[日é]", "1", "(h.*)", "host"]
PATTERNS = ["(.*)", ".*", ".+", "", "foo|bar", "a", "(a|b|)", "foo.*", "(.*):(.*)", "([^:]+)(?::\\d+)?;(\\d+)", "__meta_(.+)", "__meta_label_(.+)",
            "__.*", "(.*)-(.*)", "(.+);(.+)", "a|b|c|d", "job|instance|__.*", "(?i)(.*)t(.*)", "[^_].*", "(.)(.*)", "true", "prod-(.*)-(\\d+)"]
REPLACEMENTS = ["$1", "${1}", "$2", "$0", "$1-$2", "${1}_x", "$1_x", "x", "", "$$1", "$n", "${n}x", "$", "a$", "${1", "$é", "$10", "$01", "é$1", "\\1",
                "$1$1", "true", "https", "h:1", "/p", "30s", "x y", "$-", "-"]
TARGETS = ["a", "b", "env", "new", "job", "instance", "__address__", "__scheme__", "__metrics_path__", "__param_module", "__param_x", "__tmp_y",
           "l_$1", "${1}_t", "$1", "$2", "__meta_new", "__scrape_interval__", "x${1}y"]
BROKEN = [{"action": "replace"}, {"action": "hashmod", "target_label": "a"}, {"action": "labeldrop", "regex": "a", "target_label": "b"},
          {"regex": "("}, {"target_label": "a-b"}, {"action": "nope"}, {"regex": "(?<n>a)", "target_label": "a"}, {"regex": "a**", "target_label": "a"},
          {"action": "keepequal", "target_label": "a", "regex": "b"}, {"action": "lowercase", "target_label": "a", "replacement": "b"},
          {"action": "labelmap", "replacement": "a-b"}, {"source_labels": ["a-b"], "target_label": "a"}, {"regex": "\\C", "action": "keep"},
          {"action": "labelkeep", "source_labels": []}, {"regex": "a{1001}", "action": "drop"}, {"target_label": "0"}, None,
          {"action": "hashmod", "target_label": "$1", "modulus": 3}, {"action": "dropequal"}, {"action": "uppercase", "target_label": ""},
          {"regex": "(?P<é>a)", "action": "drop"}, {"target_label": "a", "unknown": 1}, {"regex": "[z-a]", "action": "drop"}]


# labelmap of newer versions goes through the labels in no order at all, so that rules giving two labels one name have no one result there.
INJECTIVE = [("(.*)", "x_$1"), ("__meta_(.+)", "n_$1"), ("__meta_label_(.+)", "${1}_y"), ("(a|b|c)", "l$1"), (".*", "p$0"), ("([a-d])", "${1}1"),
             ("foo", "$1"), ("(?i)(zz|_)", "$1$1"), ("__meta_pod", "b"), ("(.+)", "é$1"), ("env", "")]


def regex(r):
    if r.random() < 0.5:
        return r.choice(PATTERNS)
    return "".join(r.choice(ATOMS) for _ in range(r.randint(1, 4)))


def rule(r, any_labelmap):
    action = r.choice(["replace"] * 6 + ["keep", "drop", "keepequal", "dropequal", "hashmod", "labelmap", "labelmap", "labeldrop", "labelkeep",
                                         "lowercase", "uppercase"])
    out = {}
    if action != "replace" or r.random() < 0.5:
        out["action"] = action if r.random() < 0.9 else action.upper()
    if action in ("labeldrop", "labelkeep"):
        out["regex"] = regex(r) if action == "labeldrop" else "(__.*|a|b|job|" + r.choice(NAMES) + ")"
        return out
    if action == "labelmap":
        if not any_labelmap:
            out["regex"], out["replacement"] = r.choice(INJECTIVE)
            return out
        out["regex"] = regex(r)
        out["replacement"] = r.choice(["$1", "x_$1", "${1}_y", "$0", "b", "$2", "n$1n"])
        return out
    out["source_labels"] = [r.choice(NAMES) for _ in range(r.choice([0, 1, 1, 1, 2, 2, 3]))]
    if action in ("keepequal", "dropequal"):
        out["target_label"] = r.choice(TARGETS)
        return out
    if r.random() < 0.2:
        out["separator"] = r.choice(["", "-", ";;", "é", "/", "\n"])
    if action in ("keep", "drop"):
        # most targets must survive, else nothing is compared
        out["regex"] = regex(r) + ("|.*" if action == "keep" and r.random() < 0.7 else "")
        if action == "drop" and r.random() < 0.6:
            out["regex"] = r.choice(["foo", "x-.*", "nothing", "(?i)FALSE"])
        return out
    if action == "hashmod":
        out["modulus"] = r.choice([1, 7, 1000, 2**32, 2**63 + 1, 2**64 - 1])
        out["target_label"] = r.choice(["a", "shard", "__tmp_hash"])
        return out
    out["target_label"] = r.choice(TARGETS)
    if action == "replace":
        if r.random() < 0.8:
            out["regex"] = regex(r)
        if r.random() < 0.8:
            out["replacement"] = r.choice(REPLACEMENTS)
    return out


def group(r):
    labels = {}
    for _ in range(r.randint(0, 8)):
        labels[r.choice(NAMES)] = r.choice(VALUES)
    # valid durations and addresses most of the time, so that most targets get through
    for name, good in (("__scrape_interval__", ["1m", "15s", "1h30m"]), ("__scrape_timeout__", ["10s", "1s"])):
        if name in labels and r.random() < 0.8:
            labels[name] = r.choice(good)
    labels.pop("__address__", None)
    if "__scheme__" in labels and r.random() < 0.8:
        labels["__scheme__"] = r.choice(["http", "https"])
    return {"targets": [r.choice(ADDRESSES)], "labels": labels}


def job(r, target_count, any_labelmap=True):
    """A job without its file lists: (job, groups for static_configs, groups for a file)."""
    rules = [rule(r, any_labelmap) for _ in range(r.randint(1, 7))]
    if r.random() < 0.15:
        rules.insert(r.randrange(len(rules) + 1), r.choice(BROKEN if any_labelmap else [b for b in BROKEN if b is None or b.get("action") != "labelmap"]))
    conf = {"job_name": "j", "relabel_configs": rules}
    if r.random() < 0.3:
        conf["params"] = {"module": [r.choice(["p", "q r"]), "second"], "x": r.choice([["1"], [], [""]])}
    if r.random() < 0.3:
        conf["scheme"] = r.choice(["https", "http", "ftp"])
    if r.random() < 0.3:
        conf.update(scrape_interval="30s", scrape_timeout="7s", metrics_path=r.choice(["/probe", "m"]))
    groups = [group(r) for _ in range(target_count)]
    cut = r.choice([0, target_count, target_count])  # promtool 2.42 panics when a job has both kinds
    return conf, groups[:cut], groups[cut:]


def write(conf, static, listed, folder):
    """The configuration as a file, JSON being YAML; returns its path."""
    conf = dict(conf)
    if static:
        conf["static_configs"] = static
    if listed:
        as_json = random.Random(len(listed)).random() < 0.5
        name = "targets.json" if as_json else "targets.yml"
        (folder / name).write_text(json.dumps(listed, ensure_ascii=False), encoding="utf-8")
        conf["file_sd_configs"] = [{"files": [name]}]
    path = folder / "prometheus.yml"
    path.write_text(json.dumps({"scrape_configs": [conf]}, ensure_ascii=False, indent=1), encoding="utf-8")
    return path
