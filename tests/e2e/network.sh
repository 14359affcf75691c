#!/bin/bash
# network.sh BIN: TLS, and a slow network: the split must need one round, not one per draft.
. "${0%/*}/lib.sh"
cd "$work" || exit 2

# ---- TLS ----

certificate() { # NAME SUBJECT CA: NAME.pem, NAME.key, signed by CA.pem
    openssl req -newkey rsa:2048 -nodes -keyout "$1.key" -out "$1.csr" -subj "/CN=$2" -addext "subjectAltName=DNS:$2,IP:127.0.0.1" &&
        openssl x509 -req -in "$1.csr" -CA "$3.pem" -CAkey "$3.key" -CAcreateserial -out "$1.pem" -days 2 -copy_extensions copy
}
authority() { openssl req -x509 -newkey rsa:2048 -nodes -keyout "$1.key" -out "$1.pem" -subj "/CN=$1" -days 2; }
{ authority good_ca && authority wrong_ca && certificate server localhost good_ca && certificate client somebody good_ca &&
    certificate stranger stranger wrong_ca; } >openssl.log 2>&1 || fail "certificates" "$(tail -n 3 openssl.log)"

cp server.pem live.pem; cp server.key live.key
start_target tls --model base --metrics :0 --tls-certificate live.pem --tls-key live.key || exit 2
tls_pid=$target_pid
client --target "$address" --tls-ca good_ca.pem --no-draft "$good_file"
verdict "TLS" "$(why_not_text "$good_text")"
client --target "localhost:${address##*:}" --tls-ca good_ca.pem "$good_file"
verdict "TLS by host name, with drafts" "$(why_not_text "$good_text")"
refused=(--target "$address" --no-draft --deadline 1s)
client_refused "TLS: signed by another authority" 3 "$address.*not signed by the given authority" "${refused[@]}" --tls-ca wrong_ca.pem "$good_file"
client_refused "TLS: another name in the certificate" 3 "$address.*certificate is for another name" \
    "${refused[@]}" --tls-ca good_ca.pem --tls-server-name other.example "$good_file"
client_refused "plaintext to a TLS target" 3 "$address.*does it want TLS" "${refused[@]}" "$good_file"
client_refused "TLS: no such authority file" 1 'missing.pem' "${refused[@]}" --tls-ca missing.pem "$good_file"
echo 'no certificate' >letter.pem
client_refused "TLS: a text as authority" 1 'letter.pem' "${refused[@]}" --tls-ca letter.pem "$good_file"
client_refused "TLS: a certificate without its key" '[12]' 'key' "${refused[@]}" --tls-ca good_ca.pem --tls-certificate client.pem "$good_file"
# A target that wants TLS does not end the run where another does not.
start_target plain_too --model base || exit 2
client --target "${refused[1]},$address" --no-draft "$good_file"
verdict "plaintext to a TLS target, then to one without" "$(why_not_text "$good_text")"
kill -TERM "$target_pid"
address=${refused[1]}
client --target "$address" --tls-ca good_ca.pem --no-draft "$good_file"
verdict "TLS: goes on serving" "$(why_not_text "$good_text")"
# A renewal: by the other authority, so that it is seen who serves.
{ certificate renewed localhost wrong_ca && mv renewed.key live.key && mv renewed.pem live.pem; } 2>>openssl.log
client --target "$address" --tls-ca wrong_ca.pem --no-draft "$good_file"
verdict "TLS: a renewed certificate without a restart" "$(why_not_text "$good_text")"
kill -HUP "$tls_pid"
verdict "TLS: the log names the date" "$(wait_for 20 grep -q 'certificate live.pem was read again: valid until 20' tls.log || tail -n 3 tls.log)"
expiry=$(curl -s "http://127.0.0.1:$(sed -n 's/.*metrics on port \([0-9]*\).*/\1/p' tls.log)/metrics" |
    awk '$1 == "specasr_certificate_expiry_seconds" {print $2}')
verdict "TLS: the metric of its end" "$([ "${expiry:-0}" -gt 172000 ] && [ "$expiry" -le 172800 ] || echo "'$expiry' s")"
kill -TERM "$tls_pid"

"$bin/target_node" --no-config --model tiny.en --log-level error --listen 127.0.0.1:0 --tls-certificate server.pem --tls-key client.key >out 2>err & pid=$!
wait_for "$limit" gone $pid; wait $pid; rc=$?
verdict "TLS: a key of another certificate" "$(why_not_refused 1 'server.pem.*client.key')"

start_target mutual --model base --tls-certificate server.pem --tls-key server.key --tls-client-ca good_ca.pem || exit 2
refused[1]=$address
client --target "$address" --tls-ca good_ca.pem --tls-certificate client.pem --tls-key client.key --no-draft "$good_file"
verdict "mutual TLS" "$(why_not_text "$good_text")"
client_refused "mutual TLS: no certificate" 3 "$address.*another certificate" "${refused[@]}" --tls-ca good_ca.pem "$good_file"
client_refused "mutual TLS: a stranger's certificate" 3 "$address.*certificate" \
    "${refused[@]}" --tls-ca good_ca.pem --tls-certificate stranger.pem --tls-key stranger.key "$good_file"
client --target "$address" --tls-ca good_ca.pem --tls-certificate client.pem --tls-key client.key --no-draft "$good_file"
verdict "mutual TLS: goes on serving" "$(why_not_text "$good_text")"
kill -TERM "$target_pid"

# ---- 100 ms each way ----

start_target plain --model base || exit 2
start_relay slow "$address" 'delay 100' || exit 2
short=("$good_file" "$cards/002.wav" "$good_file" "$cards/003.wav" "$good_file" "$cards/002.wav" "$cards/003.wav")

# Median of total_ms, by file, without the first (which connects); in turns, because other work on the machine comes
# and goes; noise only adds, so one quiet sitting of three is enough.
median='sorted(x["stats"]["total_ms"] for x in r[1:])[len(r[1:]) // 2]'
late=; rounds=
for sitting in 1 2 3; do
    client --target "$address" --format json "${short[@]}"
    near=$(json "$median"); near_text=$(json '[x["text"] for x in r]')
    client --target "$relay" --format json "${short[@]}"
    far=$(json "$median"); far_text=$(json '[x["text"] for x in r]')
    rounds=$(json 'sum(x["stats"]["rounds"] for x in r) / len(r)')
    [ "$rc" = 0 ] && [ "$near_text" = "$far_text" ] || fail "same text through a relay" "exit code $rc: $far_text $(cat err)"
    late+=" $near->$far"
    echo "# sitting $sitting: median $near ms on loopback, $far ms with a round trip of 200 ms, $rounds rounds"
    if awk -v a="$near" -v b="$far" 'BEGIN {exit !(b - a <= 300)}'; then late=; break; fi
done
verdict "final text at most 1.5 round trips later over 200 ms" "${late:+milliseconds:$late}"
why=; awk -v r="$rounds" 'BEGIN {exit !(r <= 1.1)}' || why="$rounds rounds"
verdict "one round per utterance" "$why"
e2e_finish
