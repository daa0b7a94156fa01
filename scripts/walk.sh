#!/usr/bin/env bash
# walk.sh — a newcomer's walk: clone, `make run`, then the commands of the
# README's sections "Two minutes" and "Check the ledger yourself" as they stand there, each checked for what the
# README says it does. Uncommitted changes are walked, too.
set -euo pipefail
cd "$(dirname "$0")/.."

if ! command -v curl >/dev/null && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
	echo "walk: installing curl, which the README's commands use"
	apt-get update -qq && apt-get install -qqy --no-install-recommends curl >/dev/null
fi
if ! command -v curl >/dev/null; then
	echo "README walk: there is no curl" | tee -a "${ASSENT_NOT_RUN:-/dev/null}"
	exit 0
fi

work=$(mktemp -d)
pid=
finish() {
	if [ -n "$pid" ]; then
		kill -TERM -- "-$pid" 2>/dev/null || true
		wait "$pid" 2>/dev/null || true
	fi
	rm -rf "$work"
}
trap finish EXIT

git clone -q . "$work/assent"
git ls-files -z --cached --others --exclude-standard | while IFS= read -r -d '' f; do
	if [ -e "$f" ]; then
		mkdir -p "$work/assent/$(dirname "$f")"
		cp -p "$f" "$work/assent/$f"
	fi
done
cd "$work/assent"

# A free port instead of 8080, which may be somebody's.
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])' 2>/dev/null || echo 18483)
set -m
ASSENT_ADDR=127.0.0.1:$port make run >"$work/run.log" 2>&1 &
pid=$!
set +m
for _ in $(seq 600); do
	if curl -fsS "http://127.0.0.1:$port/readyz" >/dev/null 2>&1; then break; fi
	if ! kill -0 "$pid" 2>/dev/null; then break; fi
	sleep 0.2
done
if ! curl -fsS "http://127.0.0.1:$port/readyz" >/dev/null; then
	echo "walk: make run did not serve:" >&2
	cat "$work/run.log" >&2
	exit 1
fi

# The commands: every sh block after "make run" up to the next section.
awk '/^## (Two minutes|Check the ledger yourself)/ {on=1; next} /^## / {on=0} on && /^```sh/ {code=1; next} /^```/ {code=0} on && code' README.md |
	grep -v '^make run$' | sed "s|http://127.0.0.1:8080|http://127.0.0.1:$port|" >"$work/commands"

# Each command's output goes to a file of its own.
{
	echo 'set -euo pipefail'
	awk -v dir="$work" '
		{ command = command $0 "\n" }
		/\\$/ || (/\{"documents": \[$/) || (/"text": .*\},$/) { next }
		/^$/ || /^#/ { printf "%s", command; command = ""; next }
		/^export/ { printf "%s", command; command = ""; next }
		{ n++; sub(/\n$/, "", command); printf "{ %s\n} >%s/out%d 2>&1 || { echo \"walk: command %d failed\"; cat %s/out%d; exit 1; } >&2\n", command, dir, n, n, dir, n; command = "" }
	' "$work/commands"
} >"$work/walk"
bash "$work/walk"

says() { # FILE PATTERN WHAT
	grep -Eq -- "$2" "$work/$1" || { echo "walk: $3" >&2; cat "$work/$1" >&2; exit 1; }
}
saysnot() {
	if grep -Eq -- "$2" "$work/$1"; then echo "walk: $3" >&2; cat "$work/$1" >&2; exit 1; fi
}
says run.log 'serving on http://127.0.0.1' "make run does not print its address"
says run.log 'admin.key' "make run does not say where the key is"
says out1 'gone at once' "the demo does not end with its result"
says out2 '"name":"mail"' "the collection was not made"
says out3 'granted' "Ada's consent was not recorded"
says out4 '"m1","status":"stored"' "Ada's document was not stored"
says out4 '"m2","status":"refused"' "Bob's document was not refused"
says out5 'backup server' "Ada's document was not found"
saysnot out5 'Bob' "Bob's document was found"
says out6 'revoked' "Ada's withdrawal was not recorded"
saysnot out7 'backup server' "Ada's document was found after she withdrew"
says out9 'verified: the log' "the log did not verify"
says out11 'verified: entry 2' "the receipt did not verify"
says out12 'continues the one of' "the log does not continue its earlier checkpoint"
[ "$(stat -c %a assent-data.vault/admin.key)" = 600 ] || { echo "walk: the key file is not 0600" >&2; exit 1; }
echo "walk: the README's commands do what it says"
