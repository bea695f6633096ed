#!/usr/bin/env bash
# Each file of tests/plan/cases: what is asked and what is true, then "---" and the plan. `tests/plan/cases.sh --write` writes the second part
# anew, to be read as a diff.
set -euo pipefail
: "${SOURCE:=$(cd "$(dirname "$0")/../.." && pwd)}" "${BUILD:=$SOURCE/build/check}"
failed=0 n=0
for f in "$SOURCE"/tests/plan/cases/*.txt; do
	got=$("$BUILD/bin/plan_case" <"$f") || { echo "FAIL $f"; failed=1; continue; }
	n=$((n + 1))
	if [ "${1:-}" = --write ]; then
		{ sed '/^---/,$d' "$f"; echo ---; echo "$got"; } >"$f.new" && mv "$f.new" "$f"
	elif ! diff -u --label "$(basename "$f")" --label "the plan" <(sed '1,/^---/d' "$f") <(echo "$got"); then
		failed=1
	fi
done
echo "$n cases"
[ $n -gt 0 ] && exit $failed
