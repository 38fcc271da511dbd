#!/usr/bin/env bash
# Sees that what a build needs is there, and with `test` what the tests need too: installs it as root or with sudo at a prompt, else names it.
set -euo pipefail

missing=()
command -v cc >/dev/null || missing+=(gcc libc6-dev)
command -v git >/dev/null || missing+=(git)
# The demo's customer.
command -v curl >/dev/null || missing+=(curl)
# A terminal for the tests that need one.
command -v script >/dev/null || missing+=(bsdutils)
# A browser for the page, with a font to measure it by.
if [ "${1:-}" = test ] && ! command -v chromium >/dev/null && ! command -v chromium-browser >/dev/null && ! command -v google-chrome >/dev/null; then
    missing+=(chromium fonts-dejavu-core)
fi
# A Redis of each test's own, and Node for the applications whose queues lie in it.
if [ "${1:-}" = test ]; then
    command -v redis-server >/dev/null || missing+=(redis-server)
    command -v npm >/dev/null || missing+=(nodejs npm)
    # Certificates for a server that speaks encrypted.
    command -v openssl >/dev/null || missing+=(openssl)
fi
if [ "${#missing[@]}" -gt 0 ]; then
    install="apt-get install -y --no-install-recommends ${missing[*]}"
    if ! command -v apt-get >/dev/null; then
        echo "missing: ${missing[*]} (install them with this system's packages)" >&2
        exit 2
    elif [ "$(id -u)" = 0 ]; then
        { apt-get update && DEBIAN_FRONTEND=noninteractive $install; } >/dev/null
    elif command -v sudo >/dev/null && [ -t 0 ]; then
        sudo sh -c "apt-get update && $install" >/dev/null
    else
        echo "missing: ${missing[*]} (as root: $install)" >&2
        exit 2
    fi
fi
if ! command -v cargo >/dev/null; then
    echo "missing: cargo (install Rust $(sed -n 's/^channel = "\(.*\)"/\1/p' rust-toolchain.toml) with rustup)" >&2
    exit 2
fi
