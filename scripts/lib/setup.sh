# Sourced by scripts/start and scripts/test: makes node_modules complete and leaves `bun` in $bun.
# Needs Node and npm only: Bun itself is an npm package, pinned in package.json.
# Defines: root (the repository), bun (path of the binary), setup_dependencies, say.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
bun=$root/node_modules/.bin/bun

say() { printf '%s\n' "$*" >&2; }

# Whether node_modules was installed from the lock file that lies here now.
dependencies_are_current() {
  [ -x "$bun" ] || return 1
  [ -e "$root/node_modules/.package-lock.json" ] || return 1
  ! [ "$root/package-lock.json" -nt "$root/node_modules/.package-lock.json" ]
}

# Installs what is missing. `npm ci` first, for the exact versions of the lock file. It refuses a lock file that lacks
# a platform-specific optional package (a registry mirror without them writes such a lock), so then `npm install`,
# which reads the same lock, takes what there is and, with --no-save, changes no tracked file.
setup_dependencies() {
  if ! dependencies_are_current; then
    command -v npm >/dev/null || { say "npm is needed (Node 20 or newer): https://nodejs.org"; return 1; }
    local log
    log=$(mktemp)
    (cd "$root" && npm ci --no-audit --no-fund) >"$log" 2>&1 ||
      (cd "$root" && npm install --no-save --no-audit --no-fund) >"$log" 2>&1 ||
      { cat "$log" >&2; rm -f "$log"; say "installing the dependencies failed"; return 1; }
    rm -f "$log"
    touch "$root/node_modules/.package-lock.json"
  fi
  # npm may be told to run no package scripts; the one of `bun` puts the platform's binary in its place.
  "$bun" --version >/dev/null 2>&1 || (cd "$root/node_modules/bun" && node install.js) || true
  "$bun" --version >/dev/null 2>&1 || { say "node_modules/.bin/bun does not run on this machine"; return 1; }
}
