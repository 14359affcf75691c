"""check.py: a strict check of what lies in deploy/, for check.sh. Run in the repository's root.

What it covers: every field of the Kubernetes objects and of the compose file is one that the tables below allow, with
its type, and those marked with ! are there; selectors find their pods, named ports exist, volumes, claims and services
are defined where they are used; probes ask /healthz and /readyz; grace is longer than preStop, and that longer than an
utterance; what the autoscaler asks for is what an adapter rule gives; options in command lines exist in the program's
--help or in PLANNED; metric names in rules, dashboard and adapter stand in docs/METRICS.md, and every alert has its
section in the runbook. PromQL of the dashboard is written as a rule file for promtool (argument 1).

What it does not: it is no API server. Values of enumerations beyond a few, quantities, defaults and admission are not
checked; `kubectl apply --dry-run=server` is the judge where a cluster is at hand.
"""
import functools
import json
import re
import subprocess
import sys

import yaml

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)     # the same, quicker

UTTERANCE_S = 30
# Options that the programs will have; each is taken off this list by the change that adds it.
PLANNED = set()
# Secrets are made outside of the manifests, which say what is in them.
SECRETS = {"specasr-coordinator-tls", "specasr-target-tls", "specasr-ca", "specasr-ticket-signer",
           "specasr-ticket-public", "specasr-api-keys", "specasr-etcd-tls", "specasr-etcd-client"}

faults = []


def fault(where, what):
    faults.append(f"{where}: {what}")


# ---- tables: a dict of fields, [element], {str: value} as {"*": value}, a type, or a set of values ----

LABELS = {"*": str}
META = {"name!": str, "namespace": str, "labels": LABELS, "annotations": LABELS}
SELECTOR = {"matchLabels!": LABELS}
PROBE = {"httpGet!": {"path!": {"/healthz", "/readyz", "/health"}, "port!": str}, "periodSeconds": int,
         "timeoutSeconds": int, "failureThreshold": int}
CONTAINER = {
    "name!": str, "image!": str, "args": [str], "command": [str],
    "env": [{"name!": str, "value": str, "valueFrom": {"fieldRef": {"fieldPath!": str},
                                                       "configMapKeyRef": {"name!": str, "key!": str}}}],
    "ports": [{"name!": str, "containerPort!": int, "protocol": {"TCP"}}],
    "lifecycle": {"preStop!": {"exec!": {"command!": [str]}}},
    "startupProbe": PROBE, "livenessProbe": PROBE, "readinessProbe": PROBE,
    "resources!": {"requests!": {"cpu!": str, "memory!": str}, "limits!": {"memory!": str}},
    "securityContext!": {"allowPrivilegeEscalation!": {False}, "readOnlyRootFilesystem": {True},
                         "capabilities!": {"drop!": [{"ALL"}]}},
    "volumeMounts": [{"name!": str, "mountPath!": str, "readOnly": bool}],
}
POD = {
    "restartPolicy": {"Always", "OnFailure"}, "automountServiceAccountToken!": {False},
    "terminationGracePeriodSeconds": int,
    "topologySpreadConstraints": [{"maxSkew!": int, "topologyKey!": str, "labelSelector!": SELECTOR,
                                   "whenUnsatisfiable!": {"ScheduleAnyway", "DoNotSchedule"}}],
    "securityContext!": {"runAsNonRoot!": {True}, "runAsUser!": int, "fsGroup": int,
                         "seccompProfile!": {"type!": {"RuntimeDefault"}}},
    "containers!": [CONTAINER],
    "volumes": [{"name!": str, "secret": {"secretName!": str, "defaultMode!": int},
                 "persistentVolumeClaim": {"claimName!": str, "readOnly": bool}}],
}
TEMPLATE = {"metadata!": {"labels!": LABELS, "annotations": LABELS}, "spec!": POD}
CLAIM = {"accessModes!": [{"ReadWriteMany", "ReadOnlyMany", "ReadWriteOnce"}],
         "resources!": {"requests!": {"storage!": str}}}
PORT_RULE = {"protocol!": {"TCP"}, "port!": int}
SCALING = {"stabilizationWindowSeconds": int,
           "policies!": [{"type!": {"Pods", "Percent"}, "value!": int, "periodSeconds!": int}]}
KINDS = {
    ("v1", "Namespace"): {},
    ("v1", "ConfigMap"): {"data!": LABELS},
    ("v1", "Service"): {"spec!": {"clusterIP": {"None"}, "publishNotReadyAddresses": bool, "selector!": LABELS,
                                  "ports!": [{"name!": str, "port!": int, "targetPort!": str}]}},
    ("v1", "PersistentVolumeClaim"): {"spec!": CLAIM},
    ("batch/v1", "Job"): {"spec!": {"backoffLimit": int, "ttlSecondsAfterFinished": int, "template!": TEMPLATE}},
    ("apps/v1", "Deployment"): {"spec!": {
        "replicas!": int, "progressDeadlineSeconds": int, "selector!": SELECTOR, "template!": TEMPLATE,
        "strategy": {"type!": {"Recreate", "RollingUpdate"},
                     "rollingUpdate": {"maxSurge": int, "maxUnavailable": int}}}},
    ("apps/v1", "StatefulSet"): {"spec!": {
        "replicas!": int, "serviceName!": str, "podManagementPolicy": {"Parallel", "OrderedReady"},
        "selector!": SELECTOR, "template!": TEMPLATE,
        "volumeClaimTemplates": [{"metadata!": {"name!": str}, "spec!": CLAIM}]}},
    ("policy/v1", "PodDisruptionBudget"): {"spec!": {"maxUnavailable": int, "minAvailable": int,
                                                     "selector!": SELECTOR}},
    ("networking.k8s.io/v1", "NetworkPolicy"): {"spec!": {
        "podSelector!": {"matchLabels": LABELS}, "policyTypes!": [{"Ingress", "Egress"}],
        "ingress": [{"from": [{"namespaceSelector": SELECTOR, "podSelector": SELECTOR}], "ports": [PORT_RULE]}]}},
    ("autoscaling/v2", "HorizontalPodAutoscaler"): {"spec!": {
        "scaleTargetRef!": {"apiVersion!": str, "kind!": str, "name!": str}, "minReplicas!": int,
        "maxReplicas!": int, "behavior": {"scaleUp": SCALING, "scaleDown": SCALING},
        "metrics!": [{"type!": {"Pods"}, "pods!": {"metric!": {"name!": str}, "target!": {
            "type!": {"AverageValue"}, "averageValue!": str}}}]}},
}
SERVICE = {"image!": str, "profiles": [str], "command": [str], "ports": [str], "volumes": [str],
           "depends_on": [str], "restart": {"always", "on-failure"}, "stop_grace_period": str, "read_only": bool,
           "cap_drop": [str], "security_opt": [str], "mem_limit": str}
COMPOSE = {"name!": str, "services!": {"*": SERVICE}, "volumes": {"*": dict}}
PANEL = {"id!": int, "type!": {"timeseries", "stat"}, "title!": str, "description!": str, "options": dict,
         "datasource!": {"type!": {"prometheus"}, "uid!": str}, "fieldConfig!": dict,
         "gridPos!": {"x!": int, "y!": int, "w!": int, "h!": int},
         "targets!": [{"expr!": str, "legendFormat!": str, "refId!": str, "datasource!": dict}]}
DASHBOARD = {"title!": str, "uid!": str, "schemaVersion!": int, "version!": int, "editable": bool, "timezone": str,
             "refresh": str, "time": {"from!": str, "to!": str}, "tags": [str], "annotations": dict,
             "templating!": {"list!": [dict]}, "panels!": [PANEL]}


def check_shape(where, value, shape):
    if isinstance(shape, set):
        if not isinstance(value, (str, bool, int)) or value not in shape:
            fault(where, f"{value!r} is none of {sorted(map(str, shape))}")
    elif isinstance(shape, type):
        if not isinstance(value, shape) or (shape is int and isinstance(value, bool)):
            fault(where, f"{value!r} is no {shape.__name__}")
    elif isinstance(shape, list):
        if not isinstance(value, list) or not value:
            fault(where, "is no list, or empty")
            return
        for i, element in enumerate(value):
            check_shape(f"{where}[{i}]", element, shape[0])
    elif not isinstance(value, dict):
        fault(where, "is no mapping")
    elif "*" in shape:
        for key, element in value.items():
            check_shape(f"{where}.{key}", element, shape["*"])
    else:
        check_fields(where, value, shape)


def check_fields(where, value, shape):
    known = {name.rstrip("!"): name for name in shape}
    for key, element in value.items():
        if key in known:
            check_shape(f"{where}.{key}", element, shape[known[key]])
        else:
            fault(where, f"the field {key} is not known")
    for name in shape:
        if name.endswith("!") and name[:-1] not in value:
            fault(where, f"the field {name[:-1]} is missing")


def load_objects(paths):
    objects = []
    for path in paths:
        with open(path, encoding="utf-8") as file:
            for one in yaml.load_all(file, Loader=LOADER):
                where = f"{path}: {one.get('kind')}/{one.get('metadata', {}).get('name')}"
                shape = KINDS.get((one.get("apiVersion"), one.get("kind")))
                if shape is None:
                    fault(where, "kind and version are not known")
                    continue
                check_shape(where, one, {"apiVersion!": str, "kind!": str, "metadata!": META, **shape})
                objects.append((where, one))
    return objects


# ---- how objects fit together ----

def kind_of(objects, kind):
    return [(where, one) for where, one in objects if one["kind"] == kind]


def pods_of(objects):
    return [(where, one["spec"]["template"]) for where, one in objects
            if one["kind"] in ("Deployment", "StatefulSet", "Job")]


def matches(labels, template):
    return labels.items() <= template["metadata"]["labels"].items()


def check_selectors(objects):
    for where, one in objects:
        spec = one.get("spec", {})
        if one["kind"] in ("Deployment", "StatefulSet") and \
                not matches(spec["selector"]["matchLabels"], spec["template"]):
            fault(where, "the selector does not match its own template")
        wanted = spec.get("selector") if one["kind"] == "Service" else \
            spec["selector"]["matchLabels"] if one["kind"] == "PodDisruptionBudget" else None
        found = [template for _, template in pods_of(objects) if wanted and matches(wanted, template)]
        if wanted and len(found) != 1:
            fault(where, f"the selector finds {len(found)} sets of pods")
        if one["kind"] == "Service" and found:
            names = {port["name"] for container in found[0]["spec"]["containers"] for port in container["ports"]}
            for port in spec["ports"]:
                if port["targetPort"] not in names:
                    fault(where, f"no container has a port {port['targetPort']}")


def check_pod(where, template, claims, own_claims):
    spec = template["spec"]
    volumes = {volume["name"]: volume for volume in spec.get("volumes", [])}
    volumes.update({name: {} for name in own_claims})
    used = set()
    for container in spec["containers"]:
        ports = {port["name"] for port in container.get("ports", [])}
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            if probe in container and container[probe]["httpGet"]["port"] not in ports:
                fault(where, f"{probe}: no such port")
        used |= {mount["name"] for mount in container.get("volumeMounts", [])}
        if not re.fullmatch(r"[a-z0-9./_-]+:v?\d+\.\d+\.\d+", container["image"]):
            fault(where, f"image {container['image']}: a version, not a moving tag")
    if used != set(volumes):
        fault(where, f"volumes and mounts differ: {sorted(used ^ set(volumes))}")
    for name, volume in volumes.items():
        if "secret" in volume and volume["secret"]["secretName"] not in SECRETS:
            fault(where, f"volume {name}: the secret is not listed in check.py")
        if "secret" in volume and volume["secret"]["defaultMode"] & 0o7:
            fault(where, f"volume {name}: everyone may read the secret")
        if "persistentVolumeClaim" in volume and volume["persistentVolumeClaim"]["claimName"] not in claims:
            fault(where, f"volume {name}: no such claim")


def check_sets(objects):
    """Pods with names: their Service is headless, and each name that stands anywhere is that of a pod."""
    headless = {one["metadata"]["name"] for _, one in kind_of(objects, "Service")
                if one["spec"].get("clusterIP") == "None"}
    names = set()
    for where, one in kind_of(objects, "StatefulSet"):
        service = one["spec"]["serviceName"]
        if service not in headless:
            fault(where, f"no headless service {service}")
        names |= {f"{one['metadata']['name']}-{i}.{service}" for i in range(one["spec"]["replicas"])}
    for where, one in objects:
        for name in set(re.findall(r"([a-z-]+-\d+\.[a-z-]+)\.specasr\.svc", json.dumps(one))) - names:
            fault(where, f"no pod is called {name}")


def check_variables(where, container, objects):
    """$(NAME) in a command line is in env, and what env takes from a ConfigMap is there."""
    env = {variable["name"]: variable.get("valueFrom", {}) for variable in container.get("env", [])}
    for name in re.findall(r"\$\(([A-Z_]+)\)", " ".join(container.get("args", []))):
        if name not in env:
            fault(where, f"$({name}) is not in env")
    maps = {one["metadata"]["name"]: one["data"] for _, one in kind_of(objects, "ConfigMap")}
    for source in (source["configMapKeyRef"] for source in env.values() if "configMapKeyRef" in source):
        if source["key"] not in maps.get(source["name"], {}):
            fault(where, f"no ConfigMap {source['name']} with {source['key']}")


def check_stop(where, template):
    """A serving pod: all probes, and grace > preStop > an utterance."""
    spec = template["spec"]
    for container in spec["containers"]:
        for probe in ("livenessProbe", "readinessProbe"):
            if probe not in container:
                fault(where, f"{probe} is missing")
        command = " ".join(container.get("lifecycle", {}).get("preStop", {}).get("exec", {}).get("command", []))
        sleep = re.search(r"sleep (\d+)", command)
        if "target" in container["name"] and not sleep:
            fault(where, "preStop does not wait")
        if sleep and not UTTERANCE_S < int(sleep[1]) < spec.get("terminationGracePeriodSeconds", 30) - 10:
            fault(where, "preStop must be longer than an utterance, and the grace at least 10 s longer than preStop")


def check_autoscaling(objects):
    rules = [rule for _, one in kind_of(objects, "ConfigMap")
             for rule in yaml.safe_load(one["data"].get("config.yaml", "rules: []"))["rules"]]
    given = {rule["name"]["as"] for rule in rules}
    deployments = {one["metadata"]["name"]: one for _, one in kind_of(objects, "Deployment")}
    for where, one in kind_of(objects, "HorizontalPodAutoscaler"):
        spec = one["spec"]
        if spec["scaleTargetRef"]["name"] not in deployments:
            fault(where, "no such deployment")
        if not 1 <= spec["minReplicas"] < spec["maxReplicas"]:
            fault(where, "minReplicas and maxReplicas")
        for metric in spec["metrics"]:
            if metric["pods"]["metric"]["name"] not in given:
                fault(where, f"no adapter rule gives {metric['pods']['metric']['name']}")
    return [rule["metricsQuery"] for rule in rules]


# ---- command lines ----

@functools.cache
def options_of(program, bin_folder):
    try:
        text = subprocess.run([f"{bin_folder}/{program}", "--help"], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return None
    return set(re.findall(r"--(?:\[no-\])?([a-z][a-z0-9-]*)", text)) | PLANNED


def check_command(where, program, words, bin_folder):
    known = options_of(program, bin_folder)
    if known is None:
        print(f"check.py: note: {bin_folder}/{program} is not built: its options are not checked")
        return
    for word in words:
        option = re.match(r"--([a-z][a-z0-9-]*)", word)
        if option and option[1] not in known:
            fault(where, f"{program} has no option --{option[1]}")


def check_compose(path, bin_folder):
    with open(path, encoding="utf-8") as file:
        compose = yaml.load(file, Loader=LOADER)
    check_shape(path, compose, COMPOSE)
    for name, service in compose["services"].items():
        where = f"{path}: {name}"
        for other in service.get("depends_on", []):
            if other not in compose["services"]:
                fault(where, f"depends on {other}, which is none")
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            if not source.startswith("./") and source not in compose["volumes"]:
                fault(where, f"no volume {source}")
        program = service["image"].split("/")[-1].split(":")[0]
        if program in ("coordinator", "target_node"):
            check_command(where, program, service["command"], bin_folder)


def check_manifests(paths, bin_folder):
    objects = load_objects(paths)
    if faults:
        return []                       # the rest relies on the shape
    claims = {one["metadata"]["name"] for _, one in kind_of(objects, "PersistentVolumeClaim")}
    check_selectors(objects)
    check_sets(objects)
    own_claims = {where: [claim["metadata"]["name"] for claim in one["spec"].get("volumeClaimTemplates", [])]
                  for where, one in kind_of(objects, "StatefulSet")}
    for where, template in pods_of(objects):
        check_pod(where, template, claims, own_claims.get(where, []))
        for container in template["spec"]["containers"]:
            check_variables(where, container, objects)
        for container in template["spec"]["containers"]:
            program = container["image"].split("/")[-1].split(":")[0]
            if program in ("coordinator", "target_node"):
                check_stop(where, template)
                check_command(where, program, container["args"], bin_folder)
    return check_autoscaling(objects)


def check_units(paths, bin_folder):
    for path in paths:
        with open(path, encoding="utf-8") as file:
            text = file.read().replace("\\\n", " ")
        for program, words in re.findall(r"^ExecStart=/usr/bin/(\w+) (.*)$", text, re.M):
            check_command(path, program, words.split(), bin_folder)


# ---- metrics ----

def documented():
    with open("docs/METRICS.md", encoding="utf-8") as file:
        text = file.read()
    kinds = dict(re.findall(r"^\| `([a-z_]+)` \| ([CGH]) ", text, re.M))
    kinds.update(re.findall(r"`(process_[a-z_]+)` \(([CGH])\)", text))
    return kinds


def check_names(where, expression, kinds):
    for name in set(re.findall(r"\b(?:specasr|process)_[a-z_]+\b", expression)):
        base = re.sub(r"_(bucket|sum|count)$", "", name)
        if name not in kinds and kinds.get(base) != "H":
            fault(where, f"{name} does not stand in docs/METRICS.md")


def check_alerts(path, kinds):
    with open(path, encoding="utf-8") as file:
        groups = yaml.load(file, Loader=LOADER)["groups"]
    with open("docs/RUNBOOK.md", encoding="utf-8") as file:
        sections = {title.strip().lower() for title in re.findall(r"^#+ (\S+)$", file.read(), re.M)}
    for rule in (rule for group in groups for rule in group["rules"]):
        where = f"{path}: {rule['alert']}"
        check_names(where, rule["expr"], kinds)
        if rule["labels"]["severity"] not in ("page", "ticket"):
            fault(where, "severity is page or ticket")
        anchor = rule["annotations"]["runbook"].partition("#")[2]
        if anchor != rule["alert"].lower() or anchor not in sections:
            fault(where, "has no section in docs/RUNBOOK.md")


def check_dashboard(path, kinds):
    with open(path, encoding="utf-8") as file:
        dashboard = json.load(file)
    check_shape(path, dashboard, DASHBOARD)
    ids = [panel["id"] for panel in dashboard["panels"]]
    if len(ids) != len(set(ids)):
        fault(path, "an id stands twice")
    cells = {(x, y) for panel in dashboard["panels"] for p in [panel["gridPos"]]
             for x in range(p["x"], p["x"] + p["w"]) for y in range(p["y"], p["y"] + p["h"])}
    if len(cells) != sum(p["gridPos"]["w"] * p["gridPos"]["h"] for p in dashboard["panels"]):
        fault(path, "panels lie over each other")
    expressions = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    for expression in expressions:
        check_names(path, expression, kinds)
    return expressions


def main():
    rules_out, bin_folder, folder = sys.argv[1], sys.argv[2], sys.argv[3]
    kinds = documented()
    if len(kinds) < 40:
        fault("docs/METRICS.md", f"only {len(kinds)} names were found: has its form changed?")
    common = ["namespace", "models", "target", "autoscaling"]
    queries = []
    for more in (["coordinator"], ["several/coordinator", "several/etcd"]):
        queries = check_manifests([f"{folder}/kubernetes/{name}.yaml" for name in common + more], bin_folder)
    expressions = []
    for query in queries:
        check_names("adapter rule", query, kinds)
        expressions.append(query.replace("<<.LabelMatchers>>", 'pod="p"').replace("<<.GroupBy>>", "pod"))
    for name in ("compose.yaml", "compose.several.yaml"):
        check_compose(f"{folder}/{name}", bin_folder)
    check_units([f"{folder}/systemd/specasr-{name}.service" for name in ("target", "coordinator")], bin_folder)
    check_alerts(f"{folder}/prometheus/alerts.yml", kinds)
    expressions += check_dashboard(f"{folder}/grafana/specasr.json", kinds)
    with open(rules_out, "w", encoding="utf-8") as file:
        yaml.safe_dump({"groups": [{"name": "dashboard", "rules": [
            {"record": f"check:expression{i}", "expr": expression} for i, expression in enumerate(expressions)]}]}, file)
    for line in faults:
        print(line)
    print(f"check.py: {len(expressions)} expressions, {len(kinds)} documented metrics, {len(faults)} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
