#!/usr/bin/env bash
# All that CI runs. Leaves nothing behind but target/.
set -euo pipefail
cd "$(dirname "$0")/.."
target=$(cargo metadata --format-version 1 --no-deps --offline 2>/dev/null | sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p')
target=${target:-$PWD/target}
log="$target/test.log"
mkdir -p "$target"

step() { printf '\n== %s\n' "$*"; }

step "format"
cargo fmt --all --check

step "lints"
cargo clippy --workspace --all-targets --locked --quiet -- -D warnings

step "dependency policy"
deny="$target/tools/bin/cargo-deny"
if command -v cargo-deny >/dev/null; then
    deny=$(command -v cargo-deny)
elif [ ! -x "$deny" ]; then
    # Unoptimised: it runs for a second and builds in half the time.
    CARGO_TARGET_DIR="$target/tools/build" cargo install cargo-deny --version 0.20.2 --locked --debug --quiet --root "$target/tools"
fi
"$deny" --log-level error check licenses bans sources
if timeout 60 "$deny" --log-level off fetch db >/dev/null 2>&1; then
    "$deny" --log-level error check advisories
else
    echo "advisories: the database is out of reach, not checked"
fi

step "tests"
cargo test --workspace --locked --quiet -- --nocapture 2>&1 | tee "$log"

step "ran"
awk '/^test result: / { passed += $4; failed += $6 } END { printf "%d passed, %d failed\n", passed, failed }' "$log"
grep -hoE '(settles: [0-9]+ (schedules|crash points)|plans: [0-9]|kills: [0-9]|controller: [0-9]|canaries: [0-9]|wire: [0-9]|import: [0-9]|problems: [0-9]|queues: ).*' "$log" || true
