#!/usr/bin/env bash
# The product's story on a sandbox: diff, apply, nothing left to do, a release, its revert, a release that fails.
set -euo pipefail
cd "$(dirname "$0")/.."

bold() { if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then printf '\n\033[1m%s\033[0m\n' "$*"; else printf '\n%s\n' "$*"; fi; }
# Runs a command as the reader would, and insists on its exit code.
run() {
    local expected=$1 code=0
    shift
    printf '\n$ %s\n' "$*"
    "$@" 2>&1 || code=$?
    if [ "$code" != "$expected" ]; then
        printf 'the demo expected exit code %s and got %s\n' "$expected" "$code" >&2
        exit 1
    fi
    [ "$code" = 0 ] || printf '(exit code %s)\n' "$code"
}

bold "Building reconciler and the sandbox (a simulated Railway) …"
cargo build --workspace --locked --quiet
target=$(cargo metadata --format-version 1 --no-deps --locked | sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p')
PATH="$target/debug:$PATH"

home=$(mktemp -d)
trap 'kill "${sandbox:-}" 2>/dev/null || true; wait 2>/dev/null || true; rm -rf "$home"' EXIT
sandbox --seed tests/sandbox/seeds/runbook.yaml --port 0 >"$home/sandbox.log" 2>&1 &
sandbox=$!
for _ in $(seq 100); do grep -q listening "$home/sandbox.log" && break; sleep 0.1; done
unset RAILWAY_API_TOKEN
export RAILWAY_API_URL RAILWAY_TOKEN=production-token PRODUCTION_STRIPE_KEY=sk_live_of_the_demo CI=true COLUMNS="${COLUMNS:-110}"
export RECONCILER_PAGES_URL
RAILWAY_API_URL=$(sed -n 's/^sandbox listening on //p' "$home/sandbox.log")
RECONCILER_PAGES_URL=${RAILWAY_API_URL%/graphql/v2}

mkdir "$home/git"
cp -r manifests/* "$home/git"
cd "$home/git"
export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_NOSYSTEM=1 GIT_AUTHOR_NAME=anna GIT_AUTHOR_EMAIL=anna@sentia.test GIT_COMMITTER_NAME=anna GIT_COMMITTER_EMAIL=anna@sentia.test
git init -q -b main
git add -A
git commit -q -m "What production should be"

bold "1. The environment of the runbook runs at Railway: web, worker and redis. Git says what should be. What is different?"
run 1 reconciler diff production
bold "   Nothing was written. Make it so: all changes go in one write, and both deployments are waited for."
run 0 reconciler apply --yes production
bold "   A fresh look finds nothing left to do, with one request and no write."
run 0 reconciler diff production

bold "2. A release is one line in one file. web and worker move together."
sed -i 's/app:1.4.2/app:1.4.3/' production/release.yaml
run 0 git commit -q -a -m "Release 1.4.3"
run 1 reconciler diff --out "$home/plan.json" production
bold "   Reviewed and saved: apply does this and nothing else."
run 0 reconciler apply "$home/plan.json"

bold "3. git revert is the rollback. Railway still keeps 1.4.2, so nothing is built or pulled."
run 0 git revert --no-edit HEAD
run 1 reconciler diff production
run 0 reconciler apply --yes production

bold "4. A release that cannot start: the old one goes on serving, and the reason is on the screen."
sed -i 's/app:1.4.2/app:1.5.0-bad/' production/release.yaml
run 0 git commit -q -a -m "Release 1.5.0-bad"
run 6 reconciler apply --yes production
run 0 git revert --no-edit HEAD
run 0 reconciler apply --yes production
run 0 reconciler diff production

bold "5. A mistake is found before anybody is asked."
sed -i 's/replicas: 3/replica: 3/' production/sizes.yaml
run 3 reconciler validate production

bold "That is the whole machinery: git says what should be, diff shows, apply makes it so, git revert goes back."
