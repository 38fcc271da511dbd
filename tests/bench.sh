#!/usr/bin/env bash
# Requests, bytes, instructions and peak memory of a look at 10, 100 and 1,000 services, beside the floor of each.
set -euo pipefail
cd "$(dirname "$0")/.."

missing=()
command -v valgrind >/dev/null || missing+=(valgrind)
[ -x /usr/bin/time ] || missing+=(time)
if [ "${#missing[@]}" -gt 0 ]; then
    [ "$(id -u)" = 0 ] || { echo "missing: ${missing[*]} (as root: apt-get install ${missing[*]})" >&2; exit 2; }
    { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "${missing[@]}"; } >/dev/null
fi

echo "building …" >&2
cargo build --workspace --release --locked --quiet
target=$(cargo metadata --format-version 1 --no-deps --locked | sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p')
PATH="$target/release:$PATH"
home=$(mktemp -d)
trap 'kill "${sandbox:-}" 2>/dev/null || true; wait 2>/dev/null || true; rm -rf "$home"' EXIT

# An environment of N services with ten variables each, as manifests and as the sandbox's seed; $3 is the value of one variable.
environment() {
    local services=$1 directory=$2
    mkdir -p "$directory"
    cat >"$directory/environment.yaml" <<Y
apiVersion: reconciler/v1alpha1
kind: Environment
metadata: { name: bench }
spec: { railway: { project: 5e27a000-0000-4000-8000-000000000001, environment: 5e27a000-0000-4000-8000-0000000000e1 } }
Y
    awk -v n="$services" -v level="$3" 'BEGIN {
        for (i = 0; i < n; i++) {
            printf "apiVersion: reconciler/v1alpha1\nkind: Service\nmetadata: { name: service-%04d }\nspec:\n  image: ghcr.io/bench/app:1\n  replicas: 2\n  ready: { path: /live }\n  variables:\n", i
            for (v = 0; v < 10; v++) printf "    VARIABLE_%d: %s-%d-%d\n", v, level, i, v
            if (i < n - 1) print "---"
        }
    }' >"$directory/services.yaml"
}
seed() {
    awk -v n="$1" 'BEGIN {
        print "projects:\n  bench:\n    id: 5e27a000-0000-4000-8000-000000000001\n    environments:\n      bench:\n        id: 5e27a000-0000-4000-8000-0000000000e1\n        services:"
        for (i = 0; i < n; i++) {
            printf "          service-%04d:\n            image: ghcr.io/bench/app:1\n            healthcheck: /live\n            replicas: { us-west2: 2 }\n            variables:\n", i
            for (v = 0; v < 10; v++) printf "              VARIABLE_%d: value-%d-%d\n", v, i, v
        }
        print "tokens:\n  bench-token: { kind: account }\nplan: pro"
    }'
}
serve() {
    sandbox --seed "$1" --port 0 >"$home/log" 2>&1 &
    sandbox=$!
    for _ in $(seq 600); do grep -q listening "$home/log" && break; sleep 0.1; done
    RAILWAY_API_URL=$(sed -n 's/^sandbox listening on //p' "$home/log")
    export RAILWAY_API_URL
}
export RAILWAY_API_TOKEN=bench-token
unset RAILWAY_TOKEN
value() { sed -n "s/.*\b$2=\([0-9]*\).*/\1/p" "$1" | tail -1; }
# No process over 1,000 services takes more instructions than this.
gate=1500000000
over=0
judge() { [ "$1" -lt 1000 ] || [ "$2" -le "$gate" ] || over=1; }
instructions() { valgrind --tool=callgrind --callgrind-out-file=/dev/null "$@" 2>&1 >/dev/null | sed -n 's/.*Collected : \([0-9]*\).*/\1/p'; }

printf '%-9s %-26s %9s %12s %15s %12s\n' services command requests "bytes read" "M instructions" "peak MB"
for services in 10 100 1000; do
    environment "$services" "$home/same" value
    environment "$services" "$home/other" changed
    seed "$services" >"$home/seed.yaml"
    serve "$home/seed.yaml"
    for case in "diff, nothing to do:$home/same" "diff, all changed:$home/other"; do
        /usr/bin/time -f 'peak=%M' reconciler --log info --color never diff "${case#*:}" >/dev/null 2>"$home/err" || true
        count=$(instructions reconciler diff "${case#*:}" || true)
        judge "$services" "$count"
        awk -v s="$services" -v c="${case%%:*}" -v r="$(value "$home/err" requests)" -v b="$(value "$home/err" bytes)" -v i="$count" -v m="$(value "$home/err" peak)" \
            'BEGIN { printf "%-9d %-26s %9d %12d %15.1f %12.1f\n", s, c, r, b, i / 1e6, m / 1024 }'
    done
    count=$(instructions reconciler validate "$home/same")
    judge "$services" "$count"
    awk -v s="$services" -v i="$count" 'BEGIN { printf "%-9d %-26s %9d %12s %15.1f\n", s, "validate", 0, "-", i / 1e6 }'
    kill "$sandbox"
    wait "$sandbox" 2>/dev/null || true
done
cat <<'T'

floors for 1,000 services: 1 request; 1.27 MB of JSON; 46 M instructions to read it typed, 233 M to scan the YAML
gate: 1,000 services are validated and planned within 1,500 M instructions
T
if [ "$over" = 1 ]; then
    echo "over the gate" >&2
    exit 1
fi
