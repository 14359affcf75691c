#!/bin/bash
# check.sh [BINDIR]: checks all of deploy/ as far as it can be done without a cluster: units (systemd-analyze), rules,
# their tests, the dashboard's PromQL (promtool), manifests, compose file, names (check.py says what it covers), and
# that check.py sees faults that are put in. BINDIR: programs whose --help is asked for options (build/release/bin).
# Tools: tools/deps.sh deploy. Closes with "N passed, N failed".
set -u
cd "$(dirname "$0")/.." || exit 2
bin=${1:-build/release/bin}
work=$(mktemp -d) || exit 2
trap 'rm -rf "$work"' EXIT
passed=0; failed=0

check() { # NAME COMMAND...
    local name=$1; shift
    if "$@" >"$work/log" 2>&1; then passed=$((passed + 1)); echo "ok    $name"
    else failed=$((failed + 1)); echo "FAIL  $name"; cat "$work/log"; fi
}

need() {
    command -v "$1" >/dev/null && return 0
    failed=$((failed + 1)); echo "FAIL  $1 is missing: tools/deps.sh deploy"
    return 1
}

# The programs need not be installed here: their places are taken by something that can be executed.
units() {
    local unit
    for unit in deploy/systemd/*.service; do
        sed 's|^ExecStart=/usr/bin/[a-z_]*|ExecStart=/bin/true|' "$unit" >"$work/${unit##*/}"
        check "${unit##*/}: systemd-analyze verify" verify_unit "$work/${unit##*/}"
        check "${unit##*/}: exposure at most 1.5 of 10" \
            systemd-analyze security --offline=true --threshold=15 "$work/${unit##*/}"
    done
}

# Its warnings do not change its exit status; any is a fault.
verify_unit() {
    systemd-analyze verify --man=no "$1" >"$work/verify" 2>&1 || { cat "$work/verify"; return 1; }
    ! grep -F "${1##*/}" "$work/verify"
}

seeded_unit() {
    sed 's/^ProtectHome=/ProtectHouse=/' "$work/specasr-target.service" >"$work/bad.service"
    ! verify_unit "$work/bad.service"
}

rules() {
    check "alerts.yml: promtool check rules" promtool check rules deploy/prometheus/alerts.yml
    check "prometheus.yml: promtool check config" promtool check config deploy/prometheus/prometheus.yml
    check "alerts_test.yml: promtool test rules" promtool test rules deploy/prometheus/alerts_test.yml
    check "dashboard and adapter: promtool reads every expression" promtool check rules "$work/expressions.yml"
}

# check.py must see each of these: FILE SED_COMMAND
seeded() {
    local n=0 file command
    python3 deploy/check.py "$work/none.yml" "$bin" deploy >/dev/null 2>&1 || { echo "there are faults already"; return 1; }
    while read -r file command; do
        n=$((n + 1))
        rm -rf "$work/deploy"; cp -r deploy "$work/deploy"
        sed -i "$command" "$work/deploy/$file"
        if cmp -s "deploy/$file" "$work/deploy/$file"; then echo "nothing was changed by: $file $command"; return 1; fi
        if python3 deploy/check.py "$work/none.yml" "$bin" "$work/deploy" >/dev/null 2>&1; then
            echo "not seen: $file $command"; return 1
        fi
    done <<'FAULTS'
kubernetes/target.yaml s/replicas: 3/replica: 3/
kubernetes/target.yaml s/sleep 40/sleep 20/
kubernetes/target.yaml s/PeriodSeconds: 75/PeriodSeconds: 45/
kubernetes/target.yaml s|/readyz|/ready|
kubernetes/target.yaml s/runAsNonRoot: true/runAsNonRoot: false/
kubernetes/target.yaml s/targetPort: grpc/targetPort: http/
kubernetes/target.yaml s/target_node:0.1.0/target_node:latest/
kubernetes/target.yaml s/claimName: specasr-models/claimName: models/
kubernetes/target.yaml s/defaultMode: 288/defaultMode: 292/
kubernetes/coordinator.yaml s/matchLabels: {app.*/matchLabels: {app: x}/
kubernetes/coordinator.yaml s/livenessProbe/livenesProbe/
kubernetes/autoscaling.yaml s/as: specasr_target_occupancy/as: specasr_target_load/
kubernetes/autoscaling.yaml s/sum(specasr_target_sessions{/sum(specasr_target_session{/
kubernetes/target.yaml s/key: coordinators/key: coordinator/
kubernetes/several/coordinator.yaml s/serviceName: specasr-coordinators/serviceName: specasr-coordinator/
kubernetes/several/coordinator.yaml s/specasr-etcd-2.specasr-etcd/specasr-etcd-3.specasr-etcd/
kubernetes/several/coordinator.yaml s/--etcd-certificate=/--etcd-cert=/
kubernetes/several/coordinator.yaml s/name: POD_NAME/name: POD/
kubernetes/several/etcd.yaml s/{name: data, mountPath/{name: date, mountPath/
kubernetes/several/etcd.yaml s/matchLabels: {app.kubernetes.io.name: specasr-etcd}$/matchLabels: {app: etcd}/
compose.several.yaml s/depends_on: .etcd1/depends_on: [etcd0/
compose.yaml s/coordinator:7700$/coordinator:7700\n      - --no-such-option/
compose.yaml s/depends_on: .coordinator./depends_on: [boss]/
prometheus/alerts.yml s/specasr_target_audit_mismatches_total/specasr_target_audit_mismatch_total/
prometheus/alerts.yml s/#specasrrefusing/#specasrrefused/
prometheus/alerts.yml s/specasr_coordinator_leader/specasr_coordinator_leads/
grafana/specasr.json s/specasr_target_passes_total/specasr_target_pass_total/
FAULTS
    echo "$n faults were seen"
}

need python3 && check "manifests, compose, names: check.py" \
    python3 deploy/check.py "$work/expressions.yml" "$bin" deploy
need systemd-analyze && units && check "systemd-analyze sees a fault that is put in" seeded_unit
need promtool && rules
check "check.py sees faults that are put in" seeded
check "certificates.sh makes what compose.yaml mounts" deploy/certificates.sh "$work/secrets"
for file in ca.pem coordinator.pem coordinator.key target.pem target.key ticket-signer.keys ticket-public.keys; do
    [ -s "$work/secrets/$file" ] || { failed=$((failed + 1)); echo "FAIL  certificates.sh: no $file"; }
done
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
