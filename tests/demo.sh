#!/usr/bin/env bash
# The product's story on a sandbox: diff, apply, a release and its revert, the site closed and opened, a hold and its approval, an import,
# a queue that is paused, drained and goes on; and then the controller, which does all of it by itself.
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

# What a customer sees.
customer() {
    curl -sS -w ' (HTTP %{http_code})\n' -H 'Host: sentia-manufacturing.up.railway.app' "$RECONCILER_PAGES_URL/"
}
# What a person does in the dashboard: stages a variable and commits it.
dashboard() {
    local query='mutation($environment: String!, $patch: EnvironmentConfig!) { environmentPatchCommit(environmentId: $environment, patch: $patch, commitMessage: "looking for the loop") }'
    local web=5e27a000-0000-4000-8000-0000000000a1 production=5e27a000-0000-4000-8000-0000000000e1
    curl -sS -o /dev/null "$RAILWAY_API_URL?source=dashboard" -H 'Authorization: Bearer account-token' -H 'Content-Type: application/json' -d "$(
        printf '{"query":"%s","variables":{"environment":"%s","patch":{"services":{"%s":{"variables":{"%s":{"value":"%s"}}}}}}}' \
            "${query//\"/\\\"}" "$production" "$web" "$1" "$2"
    )"
    sleep 2
}

bold "Building reconciler and the sandbox (a simulated Railway) …"
cargo build --workspace --locked --quiet
target=$(cargo metadata --format-version 1 --no-deps --locked | sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p')
PATH="$target/debug:$PATH"

home=$(mktemp -d)
trap 'kill "${controller:-}" "${sandbox:-}" "${application:-}" "${redis:-}" 2>/dev/null || true; wait 2>/dev/null || true; rm -rf "$home"' EXIT
# A real Redis takes the place of the simulated service's own, where there is one.
port=$((20000 + RANDOM % 20000))
if command -v redis-server >/dev/null; then
    redis-server --port "$port" --bind 127.0.0.1 --save "" --dir "$home" >/dev/null &
    redis=$!
fi
sed "s#REDIS_PASSWORD: {#REDIS_URL: \"redis://127.0.0.1:$port\", REDIS_PASSWORD: {#" tests/sandbox/seeds/runbook.yaml >"$home/seed.yaml"
play=$PWD/tests/bullmq
sandbox --seed "$home/seed.yaml" --port 0 >"$home/sandbox.log" 2>&1 &
sandbox=$!
for _ in $(seq 100); do grep -q listening "$home/sandbox.log" && break; sleep 0.1; done
unset RAILWAY_API_TOKEN
export RAILWAY_API_URL RAILWAY_TOKEN=production-token PRODUCTION_STRIPE_KEY=sk_live_of_the_demo CI=true COLUMNS="${COLUMNS:-110}"
export RECONCILER_PAGES_URL
RAILWAY_API_URL=$(sed -n 's/^sandbox listening on //p' "$home/sandbox.log")
RECONCILER_PAGES_URL=${RAILWAY_API_URL%/graphql/v2}

mkdir "$home/git"
cp -r manifests/* "$home/git"
# The queues come last in this story, where there is a Redis for them.
rm "$home"/git/*/queues.yaml
sed -i '/^  pause:/d; /^  drain:/d' "$home/git/base/app.yaml"
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

bold "5. The night: orders have to be repaired. The site is closed by a commit, and what customers see is looked at."
in_two_hours=$(date -u -d '+2 hours' +%Y-%m-%dT%H:00:00Z)
cat >production/maintenance.yaml <<END
apiVersion: reconciler/v1alpha1
kind: Maintenance
metadata: { name: site, from: base }
spec: { enabled: true, reason: orders are being repaired, until: $in_two_hours }
END
git add -A
run 0 git commit -q -m "Close the site"
run 1 reconciler diff production
run 0 reconciler apply --yes production
run 0 customer
run 0 reconciler status production
bold "   Repaired: git revert opens it again."
run 0 git revert --no-edit HEAD
run 0 reconciler apply --yes production
run 0 customer

bold "6. Somebody changes a variable in the dashboard. status says what drifted; apply puts it back."
run 0 dashboard LOG_LEVEL debug
run 1 reconciler status production
run 0 reconciler apply --yes production

bold "7. Another major version of the database could not read its files: the step is held until somebody consents in git."
sed -i 's/redis:7.4.5/redis:8.0.1/' base/app.yaml
run 0 git commit -q -a -m "Redis 8"
run 7 reconciler apply --yes production
digest=$( (reconciler diff production -o json || true) | sed -n 's/^ *"name": "\([0-9a-f]\{8\}\)",$/\1/p')
run 0 reconciler approve "$digest" production --yes --no-push
run 0 reconciler apply --yes production
run 0 reconciler diff production

bold "8. An environment that grew by hand becomes manifests: only what is not a default, and no secret."
run 0 env RAILWAY_TOKEN=staging-token reconciler import "$home/imported"
sed 's/^/    /' "$home"/imported/*.yaml
run 0 env RAILWAY_TOKEN=staging-token reconciler diff "$home/imported"

bold "9. A mistake is found before anybody is asked."
sed -i 's/replicas: 3/replica: 3/' production/sizes.yaml
run 3 reconciler validate production

git checkout -q -- production/sizes.yaml

# The application's own queue: BullMQ where Node and its packages are there.
modules="$target/tmp/bullmq/node_modules"
if [ -n "${redis:-}" ] && command -v npm >/dev/null && [ ! -d "$modules" ]; then
    mkdir -p "$target/tmp/bullmq"
    cp "$play"/package*.json "$target/tmp/bullmq"
    (cd "$target/tmp/bullmq" && npm ci --no-audit --no-fund --ignore-scripts --loglevel=error >/dev/null) || rm -rf "$modules"
fi
if [ -n "${redis:-}" ] && [ -d "$modules" ]; then
    bold "10. The application's queue, a real one of BullMQ: at most two jobs at once, in Redis and without a deployment."
    mkfifo "$home/orders"
    NODE_PATH="$modules" node "$play/play.cjs" bullmq-6 "$port" orders <"$home/orders" >"$home/application.log" &
    application=$!
    exec 3>"$home/orders"
    printf '%s\n' '{"order":"work","many":1,"concurrency":5,"ms":1500}' '{"order":"add","many":24}' >&3
    for _ in $(seq 100); do [ "$(grep -c answer "$home/application.log")" -ge 3 ] && break; sleep 0.1; done
    cat >base/queues.yaml <<END
apiVersion: reconciler/v1alpha1
kind: Redis
metadata: { name: main }
spec: { service: redis }
---
apiVersion: reconciler/v1alpha1
kind: Queue
metadata: { name: orders }
spec: { redis: main, library: bullmq, maxActive: 2 }
END
    git add -A
    run 0 git commit -q -m "Two orders at once"
    run 1 reconciler diff production
    run 0 reconciler apply --yes production
    run 0 reconciler status production
    bold "    The site is closed with its queue: what runs ends, and nothing new begins."
    cat >production/maintenance.yaml <<END
apiVersion: reconciler/v1alpha1
kind: Maintenance
metadata: { name: site, from: base }
spec: { enabled: true, pause: [orders], drain: 30s, reason: orders are being repaired, until: $in_two_hours }
END
    git add -A
    run 0 git commit -q -m "Close the site, and pause the orders"
    run 0 reconciler apply --yes production
    run 0 reconciler status production
    bold "    Open again: the queue goes on when the site is, and every job has run once."
    run 0 git revert --no-edit HEAD
    run 0 reconciler apply --yes production
    sed -i 's/maxActive: 2/maxActive: 10/' base/queues.yaml
    run 0 git commit -q -a -m "Ten orders at once"
    run 0 reconciler apply --yes production
    printf '%s\n' '{"order":"until","done":24}' '{"order":"tell"}' >&3
    for _ in $(seq 300); do grep -q twice "$home/application.log" && break; sleep 0.1; done
    grep -o '"ran":24,"twice":0,"added":24' "$home/application.log"
    git rm -q base/queues.yaml
    git commit -q -m "The orders are left to themselves"
    exec 3>&-
else
    bold "10. A queue of BullMQ would be paused, drained and let go on here: that needs redis-server and Node."
fi

bold "11. All of that without a person: the controller follows the branch, all the time. A push is all that people do."
sed -i 's/heal: 10m/heal: now/; s/unhealthyFor: 3m, within: 30m/unhealthyFor: 30s, within: 10m/' production/environment.yaml
sed -i 's|^  handOver: .*|&\n  health: { path: /api/health, every: 5s, failures: 2 } # asked always, from the controller|' base/app.yaml
git clone -q --bare . "$home/manifests.git"
git remote add origin "$home/manifests.git"
export RECONCILER_STORE="file://$home/store"
RECONCILER_LISTEN=127.0.0.1:0 reconciler run --repository "$home/manifests.git" --home "$home/controller" --environment production --fetch-every 1s >"$home/controller.log" 2>&1 &
controller=$!
for _ in $(seq 100); do grep -q listening "$home/controller.log" && break; sleep 0.1; done
controller_url=$(sed -n 's/.* listens on //p' "$home/controller.log")
# Pushes, and waits until the controller says that this commit is in force and everything is so.
push() {
    git push -q -u origin main
    converged "$(git rev-parse HEAD)"
}
converged() {
    local began=$SECONDS view
    for _ in $(seq 600); do
        view=$(curl -sS "$controller_url/api/v1/environments/production" || true)
        if grep -q "\"id\":\"$1\"" <<<"$view" && grep -q '"state":"inStep"' <<<"$view"; then
            printf '(in step with %.7s after %s s)\n' "$1" "$((SECONDS - began))"
            return
        fi
        sleep 0.2
    done
    printf 'the controller did not come to be in step with %s\n' "$1" >&2
    tail -20 "$home/controller.log" >&2
    exit 1
}
# Waits until something was told.
told() {
    for _ in $(seq 900); do
        reconciler events production --newest 200 -o json | grep -q "\"event\": \"$1\"" && return
        sleep 0.2
    done
    printf 'the controller did not tell of: %s\n' "$1" >&2
    tail -20 "$home/controller.log" >&2
    exit 1
}
git add -A
git commit -q -m "Let the controller ask web how it is, and put back what does not stay healthy"
run 0 push
bold "    A push that scales."
sed -i 's/replicas: 3/replicas: 4/' production/sizes.yaml
git commit -q -a -m "Four for the evening"
run 0 push
bold "    Somebody changes a variable in the dashboard: told, and undone at once."
run 0 dashboard LOG_LEVEL trace
run 0 told drifted
run 0 converged "$(git rev-parse HEAD)"
bold "    The site is closed by a commit, and opened by its revert."
git revert --no-edit "$(git log --format=%H --grep='Revert \"Close the site\"' -1)" >/dev/null
run 0 push
run 0 customer
git revert --no-edit HEAD >/dev/null
run 0 push
run 0 customer
bold "    A release that starts well and then answers 500: put back by itself after 30 seconds, and held."
# Only what ran well for half a minute is worth going back to.
sleep 35
sed -i 's/app:1.4.2/app:1.5.3-errors/' production/release.yaml
git commit -q -a -m "Release 1.5.3-errors"
git push -q
run 0 told rolledBack
run 0 customer
bold "    git revert says the same as what runs again."
git revert --no-edit HEAD >/dev/null
run 0 push
bold "    What happened, from the journal in the store:"
run 0 reconciler events production
kill "$controller"
wait "$controller" || true

bold "That is the whole machinery: git says what should be, diff shows, apply makes it so, git revert goes back."
