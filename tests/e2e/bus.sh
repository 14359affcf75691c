#!/bin/bash
# bus.sh BIN: a coordinator with a bus, its target and a client; the bus is cut while all else goes on.
. "${0%/*}/lib.sh"
cd "$work" || exit 2
export XDG_CACHE_HOME=$work/cache # what clients remember of the cluster; the models are linked
mkdir -p "$XDG_CACHE_HOME/specasr"
ln -s "$cache"/*.gguf "$XDG_CACHE_HOME/specasr/"

port_in() { sed -n 's/.*metrics on port \([0-9]*\).*/\1/p' "$1" | head -n 1; }
get() { curl -s -o answer "http://127.0.0.1:$1/metrics"; } # PORT
series() { awk -v name="$1" '$1 == name {print $2}' answer; }
# Frames of the bus and heartbeats that the coordinator has taken: sets frames and beats.
look() {
    get "$coordinator_metrics"
    frames=$(series 'specasr_bus_frames_total{result="taken"}'); beats=$(series 'specasr_coordinator_heartbeats_total{result="known"}')
}
target_took() { get "$target_metrics" && [ "$(series 'specasr_bus_frames_total{result="taken"}')" -gt "$1" ]; }
beats_reach() { look; [ "$beats" -ge "$1" ]; }
frames_reach() { look; [ "$frames" -ge "$1" ]; }

"$bin/coordinator" --no-config --listen 0.0.0.0:0 --allow-anonymous --bus 0.0.0.0:0 >out 2>err; rc=$?
verdict "a bus beyond loopback needs TLS" "$(why_not_refused 2 '^coordinator: --bus is not loopback: .*TLS')"

"$bin/coordinator" --no-config --heartbeat 600ms --listen 127.0.0.1:0 --bus 127.0.0.1:0 --metrics :0 2>coordinator.log & coordinator_pid=$!
has_bus() { grep -q 'bus on ports' coordinator.log; }
wait_for 20 has_bus || { cat coordinator.log >&2; exit 2; }
coordinator=$(address_in coordinator.log); coordinator_metrics=$(port_in coordinator.log)
read -r loads policy < <(sed -n 's/.*bus on ports \([0-9]*\) (loads) and \([0-9]*\) (policy).*/\1 \2/p' coordinator.log)

# The target reaches all three ports at another address, through relays that can be closed one by one.
for port in "${coordinator##*:}" "$loads" "$policy"; do
    : >"relay.$port"
    "$bin/relay" --no-config --listen "127.0.0.2:$port" --control "$work/$port.control" "127.0.0.1:$port" >"relay.$port" 2>&1 &
    wait_for 20 grep -q listening "relay.$port" || exit 2
done
start_target target --model tiny.en --metrics :0 --coordinator "127.0.0.2:${coordinator##*:}" || exit 2
target_metrics=$(port_in target.log)

# ---- with the bus ----

wait_for 30 frames_reach 1 && ok "the target's load comes over the bus" || fail "the target's load comes over the bus" "$(cat target.log answer)"
look; from_frames=$frames; from_beats=$beats
wait_for 30 frames_reach $((from_frames + 6)); look
verdict "load comes more often than heartbeats" "$([ $((2 * (frames - from_frames))) -gt $((3 * (beats - from_beats))) ] || echo "$((frames - from_frames)) frames, $((beats - from_beats)) heartbeats")"
wait_for 30 target_took 1 && ok "the policy comes over the bus" || fail "the policy comes over the bus" "$(grep bus answer)"
look
verdict "no frame of a stranger" "$([ "$(series 'specasr_bus_frames_total{result="foreign"}')" = 0 ] || grep bus answer)"
verdict "no key in a log" "$(grep -lE '[-0-9a-zA-Z.:+=^!/*?&<>()[{}@%$#]{40}' coordinator.log target.log)"

# ---- and without ----

tell "$loads" close; tell "$policy" close
look; from_beats=$beats
wait_for 30 beats_reach $((from_beats + 1)); look; from_frames=$frames; from_beats=$beats
wait_for 30 beats_reach $((from_beats + 1)) && ok "bus gone: heartbeats go on" || fail "bus gone: heartbeats go on" "$beats after $from_beats"
verdict "bus gone: no frame comes" "$([ "$frames" = "$from_frames" ] || echo "$frames after $from_frames")"
get "$target_metrics"
verdict "bus gone: the target hears its coordinator" "$([ "$(series specasr_target_coordinator_up)" = 1 ] || grep coordinator answer)"
verdict "bus gone: a client is placed and served" "$(client --coordinator "$coordinator" --no-draft "$good_file"; [ "$rc" = 0 ] || cat err)"

# It comes back: ZeroMQ connects again by itself.
tell "$loads" open; tell "$policy" open
look
wait_for 30 frames_reach $((frames + 2)) && ok "bus back" || fail "bus back" "$(grep bus answer)"
e2e_finish
