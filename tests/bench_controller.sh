#!/usr/bin/env bash
# The controller: from a push to the first write, and its memory with one large environment and with very many small ones.
set -euo pipefail
cd "$(dirname "$0")/.."

for tool in git curl openssl; do
    command -v "$tool" >/dev/null || { echo "missing: $tool" >&2; exit 2; }
done
echo "building …" >&2
cargo build --workspace --release --locked --quiet
target=$(cargo metadata --format-version 1 --no-deps --locked | sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p')
PATH="$target/release:$PATH"
home=$(mktemp -d)
trap 'kill "${controller:-}" "${sandbox:-}" 2>/dev/null || true; wait 2>/dev/null || true; rm -rf "$home"' EXIT
unset RAILWAY_TOKEN
export RAILWAY_API_TOKEN=bench-token RECONCILER_WEBHOOK_SECRET=secret-of-the-webhook-of-the-bench RECONCILER_HTTP_TOKEN=token-of-the-page-of-the-bench
export GIT_AUTHOR_NAME=bench GIT_AUTHOR_EMAIL=bench@example.org GIT_COMMITTER_NAME=bench GIT_COMMITTER_EMAIL=bench@example.org

# N environments of M services: manifests below $3, and the sandbox's seed.
world() {
    local environments=$1 services=$2 directory=$3
    awk -v n="$environments" -v m="$services" -v out="$directory" 'BEGIN {
        print "projects:"
        for (e = 0; e < n; e++) {
            # More of one project are not looked through by name.
            p = int(e / 400)
            if (e % 400 == 0) printf "  bench-%02d:\n    id: 5e27a000-0000-4000-8000-%012d\n    environments:\n", p, p
            printf "      e%05d:\n        services:\n", e
            file = sprintf("%s/e%05d.yaml", out, e)
            printf "apiVersion: reconciler/v1alpha1\nkind: Environment\nmetadata: { name: e%05d }\nspec: { railway: { project: bench-%02d, environment: e%05d } }\n", e, p, e > file
            for (i = 0; i < m; i++) {
                printf "          service-%04d:\n            image: ghcr.io/bench/app:1\n            healthcheck: /live\n            replicas: { us-west2: 2 }\n            variables:\n", i
                printf "---\napiVersion: reconciler/v1alpha1\nkind: Service\nmetadata: { name: service-%04d }\nspec:\n  image: ghcr.io/bench/app:1\n  replicas: 2\n  ready: { path: /live }\n  variables:\n", i >> file
                for (v = 0; v < 10; v++) {
                    printf "              VARIABLE_%d: value-%d-%d\n", v, i, v
                    printf "    VARIABLE_%d: value-%d-%d\n", v, i, v >> file
                }
            }
            close(file)
        }
        # With so many requests an hour all first looks come at once.
        print "tokens:\n  bench-token: { kind: account }\nplan: enterprise\nrequests_per_hour: 100000000"
    }' >"$home/seed.yaml"
    for file in "$directory"/e*.yaml; do
        mkdir "${file%.yaml}"
        mv "$file" "${file%.yaml}/environment.yaml"
    done
}
# Starts sandbox and controller over a new repository of the manifests of `world`.
start() {
    rm -rf "$home/clone" "$home/origin.git" "$home/controller"
    mkdir "$home/clone"
    world "$1" "$2" "$home/clone"
    git init --quiet --bare --initial-branch main "$home/origin.git"
    git -C "$home/clone" init --quiet --initial-branch main
    git -C "$home/clone" remote add origin "$home/origin.git"
    push "Begin"
    sandbox --seed "$home/seed.yaml" --port 0 --latency "$3" --tell >"$home/sandbox.log" 2>&1 &
    sandbox=$!
    until grep -qs listening "$home/sandbox.log"; do kill -0 $sandbox; sleep 0.1; done
    RAILWAY_API_URL=$(sed -n 's/^sandbox listening on //p' "$home/sandbox.log")
    export RAILWAY_API_URL
    reconciler run --log warn --home "$home/controller" --repository "$home/origin.git" --fetch-every 1h >"$home/log" 2>&1 &
    controller=$!
    until grep -qs "listens on" "$home/log"; do kill -0 $controller; sleep 0.1; done
    url=$(sed -n 's/.*listens on //p' "$home/log")
    until curl -sf "$url/readyz" >/dev/null; do kill -0 $controller; sleep 0.2; done
}
stop() {
    kill "$controller" "$sandbox"
    wait "$controller" "$sandbox" 2>/dev/null || true
}
push() {
    git -C "$home/clone" add --all
    git -C "$home/clone" commit --quiet --message "$1"
    git -C "$home/clone" push --quiet origin HEAD:main
}
webhook() {
    local body signature
    body='{"ref":"refs/heads/main","repository":{"full_name":"bench/manifests"},"after":"'$(git -C "$home/clone" rev-parse HEAD)'"}'
    signature=$(printf %s "$body" | openssl dgst -sha256 -hmac "$RECONCILER_WEBHOOK_SECRET" -r | cut -d' ' -f1)
    curl -sf -o /dev/null -H "x-hub-signature-256: sha256=$signature" -H 'x-github-event: push' -H "x-github-delivery: $1" -H 'content-type: application/json' -d "$body" "$url/webhooks/github"
}
memory() { sed -n "s/^$1:[^0-9]*\([0-9]*\) kB/\1/p" "/proc/$controller/status"; }
over=0

start 1 10 100
: >"$home/times"
for round in $(seq 20); do
    changes=$(grep -c changed "$home/sandbox.log" || true)
    sed -i "0,/replicas: .*/s//replicas: $((2 + round % 2 + 1))/" "$home/clone/e00000/environment.yaml"
    push "Scale $round"
    began=$(date +%s%3N)
    webhook "$round"
    until [ "$(grep -c changed "$home/sandbox.log" || true)" -gt "$changes" ]; do sleep 0.02; done
    echo $(($(sed -n 's/changed at //p' "$home/sandbox.log" | tail -1) - began)) >>"$home/times"
    sleep 3
done
stop
sort -n "$home/times" | awk '{ at[NR] = $1 } END { printf "push to first write, 100 ms a request, 20 pushes: median %d ms, slowest %d ms (gate: median 600 ms)\n", at[int((NR + 1) / 2)], at[NR] }'
[ "$(sort -n "$home/times" | sed -n 10p)" -le 600 ] || over=1

# So much is held some time after everything was looked at. What the process maps of its own program is told apart: the system takes it back.
held() {
    start "$1" "$2" 0
    sleep "$3"
    [ "$(memory RssAnon)" -le "$4" ] || over=1
    awk -v e="$1" -v s="$2" -v anon="$(memory RssAnon)" -v file="$(memory RssFile)" -v peak="$(memory VmHWM)" -v gate="$4" 'BEGIN { printf "%d environments of %d services: %.1f MB and %.1f MB of the program, at most %.1f MB (gate: %.0f MB)\n", e, s, anon / 1024, file / 1024, peak / 1024, gate / 1024 }'
    stop
}
held 1 10 20 12288
held 1 1000 30 25600
held 1000 10 30 30720
if [ "$over" = 1 ]; then
    echo "over the gate" >&2
    exit 1
fi
