#!/bin/bash
# coordinators.sh BIN: three coordinators that share etcd, a target, clients; leader and etcd killed and back.
. "${0%/*}/lib.sh"
cd "$work" || exit 2
export XDG_CACHE_HOME=$work/cache # what clients remember of the cluster; the models are linked
mkdir -p "$XDG_CACHE_HOME/specasr"
ln -s "$cache"/*.gguf "$XDG_CACHE_HOME/specasr/"
if ! command -v etcd >/dev/null; then
    ok "skipped: there is no etcd here (tools/deps.sh test installs it)"
    e2e_finish
fi

free_port() { /usr/bin/python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
etcd_client=$(free_port); etcd_peer=$(free_port)
start_etcd() {
    etcd --name only --data-dir etcd.data --listen-client-urls "http://127.0.0.1:$etcd_client" \
        --advertise-client-urls "http://127.0.0.1:$etcd_client" --listen-peer-urls "http://127.0.0.1:$etcd_peer" \
        --initial-advertise-peer-urls "http://127.0.0.1:$etcd_peer" --initial-cluster "only=http://127.0.0.1:$etcd_peer" \
        --heartbeat-interval 40 --election-timeout 400 --logger zap --log-level error >>etcd.log 2>&1 & etcd_pid=$!
}
declare -A pid_of address_of
start_coordinator() { # NAME
    : >"$1.log"
    "$bin/coordinator" --no-config --listen 127.0.0.1:0 --heartbeat 200ms --latency-goal 1ms --bus 127.0.0.1:0 \
        --etcd "127.0.0.1:$etcd_client" --etcd-lease 1s 2>"$1.log" & pid_of[$1]=$!
    wait_for 20 listens_or_ended "$1.log" "${pid_of[$1]}"
    address_of[$1]=$(address_in "$1.log")
    [ -n "${address_of[$1]}" ] || { cat "$1.log" >&2; exit 2; }
}
# A Python expression over the picture `s` of one coordinator.
asked() { # NAME EXPRESSION
    "$bin/coordinator" status --no-config --json --coordinator "${address_of[$1]}" 2>/dev/null |
        /usr/bin/python3 -c 'import json, sys
s = json.load(sys.stdin)
print(eval(sys.argv[1]))' "$2" 2>/dev/null
}
alive=(one two three)
leaders() { for name in "${alive[@]}"; do [ "$(asked "$name" "s['leads']")" = True ] && echo "$name"; done; }
one_leads() { leader=$(leaders); [ "$(echo "$leader" | wc -w)" = 1 ]; }
nobody_leads() { [ -z "$(leaders)" ]; }
all_say() { # EXPRESSION
    for name in "${alive[@]}"; do [ "$(asked "$name" "$1")" = True ] || return 1; done
}
term() { asked "$leader" "s['policy']['term']"; }
later_term() { one_leads && [ "$(term)" -gt "$1" ]; }
price() { curl -s "http://127.0.0.1:$target_metrics/metrics" | awk '$1 == "specasr_target_shadow_price" {print $2}'; }
price_is() { awk -v p="$(price)" "BEGIN {exit !(p $1)}"; } # CONDITION
each_places() { # NAME OF THE CASE
    local why= name
    for name in "${alive[@]}"; do
        client --coordinator "${address_of[$name]}" --no-draft --format json "$good_file"
        [ "$rc" = 0 ] && ! grep -q 'last run' err || why="$why $name: exit code $rc: $(cat err)"
    done
    verdict "$1" "$why"
}

# ---- three, and one of them leads ----

for name in "${alive[@]}"; do start_coordinator "$name"; done
all_say "not s['leads'] and not s['store_up']" && ok "without etcd: nobody leads, all answer" || fail "without etcd: nobody leads, all answer" "$(leaders)"
start_etcd
wait_for 60 one_leads && ok "one leads" || fail "one leads" "$(tail -n 3 one.log etcd.log)"
wait_for 20 all_say "len(s['coordinators']) == 3 and s['store_up'] and s['leader'] == '${address_of[$leader]}'" &&
    ok "all know the three and the leader" || fail "all know the three and the leader" "$(asked one s)"

# The target is told of one: it hears of the others there, and reports to each.
start_target target --model tiny.en -t 1 --metrics :0 --coordinator "${address_of[one]}" || exit 2
target_metrics=$(sed -n 's/.*metrics on port \([0-9]*\).*/\1/p' target.log | head -n 1)
wait_for 30 all_say "[t['state'] for t in s['targets']] == ['serving']" && ok "each knows the target" || fail "each knows the target" "$(cat target.log)"
each_places "each places clients"
wait_for 30 price_is '> 1.2' && ok "the leader's price holds" || fail "the leader's price holds" "$(price)"
first_term=$(term)

# ---- the leader is killed while a session runs ----

mkfifo live
"$bin/draft_node" --no-config --coordinator "${address_of[$leader]}" --no-draft --format json - <live >long.out 2>long.err & client_pid=$!
exec 7>live
/usr/bin/python3 -c 'import sys, wave
sys.stdout.buffer.write(wave.open(sys.argv[1]).readframes(10 ** 9))' "$good_file" >speech
head -c 16000 speech >&7
kill -KILL "${pid_of[$leader]}"; wait "${pid_of[$leader]}" 2>/dev/null
rest=(); for name in "${alive[@]}"; do [ "$name" = "$leader" ] || rest+=("$name"); done
alive=("${rest[@]}")
wait_for 30 later_term "$first_term" && ok "leader killed: another leads, in a later term" || fail "leader killed: another leads, in a later term" "$(leaders) $(cat "${alive[0]}.log")"
wait_for 30 price_is '> 1.2' && ok "and its price holds" || fail "and its price holds" "$(price)"
wait_for 20 all_say "len(s['coordinators']) == 2" && ok "two are left" || fail "two are left" "$(asked "$leader" s)"
tail -c +16001 speech >&7; exec 7>&-
wait "$client_pid"; rc=$?
verdict "the session notices nothing" "$([ "$rc" = 0 ] && grep -q '"resumes":0' long.out || echo "exit code $rc: $(cat long.out long.err)")"

# ---- etcd is killed ----

before=$(term)
kill -KILL "$etcd_pid"; wait "$etcd_pid" 2>/dev/null
wait_for 30 nobody_leads && ok "etcd gone: nobody leads when the lease is over" || fail "etcd gone: nobody leads when the lease is over" "$(leaders)"
wait_for 30 price_is '== 1' && ok "etcd gone: the target goes on by its own price" || fail "etcd gone: the target goes on by its own price" "$(price)"
each_places "etcd gone: each places clients, from memory"
verdict "etcd gone: all say so" "$(all_say "not s['store_up'] and len(s['coordinators']) == 2" || asked "${alive[0]}" s)"
start_etcd
wait_for 60 one_leads && [ "$(term)" -ge "$before" ] && ok "etcd back: one leads" || fail "etcd back: one leads" "$(leaders)"
wait_for 30 price_is '> 1.2' && ok "etcd back: its price holds" || fail "etcd back: its price holds" "$(price)"

e2e_finish
