"""Every key that Prometheus knows goes through kvass render unchanged: a configuration generated from the schema table holds each key of
the parts that kvass hands on, with a value of its type that would suffer from being read as something else, and comes back equal."""
import os
import re
import subprocess

import pytest
import yaml
from harness import KVASS, SOURCE

SCHEMA = os.path.join(SOURCE, "src", "configgen", "promconf_schema.c")
ROW = re.compile(r'(ROW|NEW|SUB|NEWSUB)\("(\w+)", (\w+)(?:, (\w+))?')
VALUES = {"STRING": "007 #: ${X} \u00e9'\"", "BOOL": True, "INT": 3, "UINT": 7, "FLOAT": 0.25, "DURATION": "1m30s", "SIZE": "10MB",
          "URL": "http://u:p%40@h:1/x?y=z", "PATH": "/f/x.yml", "STRINGS": ["1", "yes", "a b"], "PATHS": ["/f/x.yml"],
          "STRING_MAP": {"k_1": "0x1F", "k_2": "~"}, "STRINGS_MAP": {"K": ["1e3", "null"]}, "ANY": {"deep": ["05", {"x": "1:30"}]}}
# Keys whose values are words of a small language, and those that exclude each other or are ours.
WORDS = {"job_name": "j: 1", "scheme": "https", "action": "replace", "regex": "(a.*)\\d", "target_label": "t_1", "replacement": "$1-${2}",
         "source_labels": ["a", "b"], "modulus": 5, "url": "http://r:1/", "min_version": "TLS12", "max_version": "TLS13",
         "metric_name_validation_scheme": "legacy", "metric_name_escaping_scheme": "underscores", "api_version": "v2",
         "scrape_protocols": ["PrometheusText0.0.4"], "fallback_scrape_protocol": "PrometheusText0.0.4", "scrape_timeout": "10s",
         "protobuf_message": "prometheus.WriteRequest", "client_type": "grpc", "compression": "gzip", "name": "n", "endpoint": "h:1",
         "translation_strategy": "NoTranslation", "floats": "xor", "rule_files": ["/f/r*.yml"], "native_histogram_min_bucket_factor": 1.5}


def tables():
    """{"SCRAPE": [(key, type, inner), ...], ...} as the source has them."""
    found, rows = {}, None
    for line in open(SCHEMA):
        head = re.match(r"static const struct conf_key (\w+)\[\] = \{", line)
        if head:
            rows = found.setdefault(head.group(1), [])
        for kind, key, type_, inner in ROW.findall(line):
            if rows is not None and (head or line.startswith("    ")):
                rows.append((key, type_, inner if kind.endswith("SUB") else None))
    return found


TABLES = tables()


# What a key is refused without.
NEEDS = {"no_proxy": {"proxy_url": "http://h:1"}, "proxy_connect_header": {"proxy_url": "http://h:1"}, "cert": {"key": "k"}, "key": {"cert": "c"},
         "cert_file": {"key_file": "/f/k"}, "key_file": {"cert_file": "/f/c"}, "cert_ref": {"key_ref": "k"}, "key_ref": {"cert_ref": "c"},
         "oauth2": {"client_id": "i", "token_url": "http://t/"}}
EXCLUDED = re.compile(r".*_(file|ref)|ca|cert|key|no_proxy|proxy_from_environment|proxy_connect_header")


def value(key, type_, inner, nested=False):
    """Within a structure within a structure, what excludes another key is left out; the outer one is tried key by key."""
    if key in WORDS:
        return WORDS[key]
    if type_ in VALUES:
        return VALUES[type_]
    one = {k: value(k, t, i, True) for k, t, i in TABLES[inner] if not (nested and EXCLUDED.fullmatch(k))}
    return {"STRUCT": one, "STRUCTS": [one], "STRUCT_MAP": {"X-Key": one}}[type_]


def handed_on():
    """(place, key, type, inner): keys of what a shard's configuration keeps as it is written."""
    for table, place in (("GLOBAL", "global"), ("SCRAPE", "scrape"), ("TOP", "top"), ("REMOTE_WRITE", "remote_write"),
                         ("REMOTE_READ", "remote_read"), ("ALERTMANAGER", "alertmanager"), ("HTTP", "remote_write"), ("HTTP", "alertmanager")):
        for key, type_, inner in TABLES[table]:
            if place == "top" and key in ("global", "scrape_configs", "scrape_config_files", "remote_write", "remote_read", "alerting"):
                continue
            if place == "scrape" and key in ("scheme", "params", "relabel_configs", "target_limit", "job_name"):
                continue  # ours: the tests of render and test_config_promtool tell what becomes of them
            yield place, key, type_, inner


def tree_with(place, key, v):
    job, tree, needs = {"job_name": "j"}, {}, {} if key == "oauth2" else NEEDS.get(key, {})
    if place == "top":
        tree[key] = v
    elif place == "global":
        tree["global"] = {key: v}
    elif place == "scrape":
        job[key] = v
    elif place == "alertmanager":
        tree["alerting"] = {"alertmanagers": [{**needs, key: v}]}
    else:
        tree[place] = [{"url": "http://r:1/", **needs, key: v}]
    return {**tree, "scrape_configs": [job]}


def one_by_one(key, v):
    """Structures of one key each, and what that needs."""
    if isinstance(v, dict):
        return [{**NEEDS.get(key, {}), **NEEDS.get(k, {}), k: x} for k, x in v.items()]
    return [[{**NEEDS.get(k, {}), k: x}] for k, x in v[0].items()] if isinstance(v, list) and isinstance(v[0], dict) else [v]


def render(tree, tmp_path):
    path = tmp_path / "prometheus.yml"
    path.write_text(yaml.dump(tree, allow_unicode=True))
    return subprocess.run([KVASS, "render", f"--config.file={path}", "--shard=s", "--prometheus.version=3.x"], capture_output=True, text=True, timeout=60)


def back(text, place, key):
    tree = yaml.safe_load(text)
    if place == "top":
        return tree[key]
    if place == "alertmanager":
        return tree["alerting"]["alertmanagers"][0][key]
    return {"global": lambda: tree["global"], "scrape": lambda: tree["scrape_configs"][0]}.get(place, lambda: tree[place][0])()[key]


CASES = list(handed_on())


def test_the_schema_was_read():
    assert len(CASES) > 100 and {len(v) > 0 for v in TABLES.values()} == {True} and len(TABLES) > 25


@pytest.mark.parametrize("case", CASES, ids=lambda c: f"{c[0]}.{c[1]}")
def test_a_key_goes_through(case, tmp_path):
    place, key, type_, inner = case
    whole = value(key, type_, inner)
    done = render(tree_with(place, key, whole), tmp_path)
    for v in [whole] if done.returncode == 0 else one_by_one(key, whole):
        done = render(tree_with(place, key, v), tmp_path)
        assert done.returncode == 0, f"{v}: {done.stderr}"
        assert back(done.stdout, place, key) == v
