#!/bin/bash
# certificates.sh FOLDER [TARGET_NAME...]: a certificate authority and certificates for a trial: coordinator (names:
# coordinator, coordinator2, coordinator3, localhost) and target (target1, target2, localhost, or the given names), valid
# for 90 days. Keys that exist are kept. Also the ticket keys: ticket-signer.keys for the coordinator, ticket-public.keys for targets. The group
# 10001, that of the containers, may read them where this runs as root. For service use your own authority.
set -eu
folder=${1:?usage: certificates.sh FOLDER [TARGET_NAME...]}; shift
targets=${*:-target1 target2 target.specasr localhost}
umask 027
mkdir -p "$folder"
cd "$folder"

[ -f ca.key ] || openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 365 \
    -subj "/CN=specasr trial authority" -keyout ca.key -out ca.pem 2>/dev/null

certificate() { # NAME DNS_NAMES...
    local name=$1 alt=; shift
    [ -f "$name.key" ] && return 0
    for dns in "$@"; do alt+="${alt:+,}DNS:$dns"; done
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$1" -keyout "$name.key" \
        -out "$name.csr" 2>/dev/null
    openssl x509 -req -in "$name.csr" -CA ca.pem -CAkey ca.key -CAcreateserial -days 90 -out "$name.pem" \
        -extfile <(printf 'subjectAltName=%s\n' "$alt") 2>/dev/null
    rm -f "$name.csr"
}

certificate coordinator coordinator coordinator2 coordinator3 localhost
# shellcheck disable=SC2086
certificate target $targets
openssl verify -CAfile ca.pem coordinator.pem target.pem

# An Ed25519 key in DER ends in its 32 bytes.
if [ ! -f ticket-signer.keys ]; then
    openssl genpkey -algorithm ed25519 -outform DER -out ticket.der
    hex() { tail -c 32 | od -An -v -tx1 | tr -d ' \n'; }
    printf 'secret %s\n' "$(hex <ticket.der)" >ticket-signer.keys
    printf 'public %s\n' "$(openssl pkey -inform DER -in ticket.der -pubout -outform DER | hex)" >ticket-public.keys
    rm -f ticket.der
fi
chgrp 10001 ./*.key ./*.pem ./*.keys 2>/dev/null || true
echo "certificates and ticket keys are in $folder"
