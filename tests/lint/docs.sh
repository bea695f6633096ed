#!/usr/bin/env bash
# What the documents name is there: files behind links, files and directories in code quotes, tests in the table of laws.
set -euo pipefail
cd "$SOURCE"
bad=0 n=0
fail() { echo "FAIL $*"; bad=1; }
for doc in *.md */README.md docs/*.md boards/*/README.md; do
	dir=$(dirname "$doc")
	while read -r link; do
		n=$((n + 1))
		[ -e "$dir/${link%%#*}" ] || fail "$doc: no $link"
	done < <(grep -oE '\]\([^)]+\)' "$doc" | sed -E 's/^\]\(|\)$//g' | grep -vE '^(https?:|#|$)' || true)
	# `agent/plan` may be agent/decide/plan.c, `platform/limits.h (...)` begins with a file
	while read -r path; do
		n=$((n + 1))
		compgen -G "$path" >/dev/null || compgen -G "$path.[ch]" >/dev/null || fail "$doc: no $path"
	done < <(grep -oE '`(platform|runtime|ota|agent|fleet|configs|tests|boards|docs)/[A-Za-z0-9_./*-]+' "$doc" | tr -d '`' | sed -E 's/[.,]$//' | grep -v '[{(]' || true)
done
while read -r test; do
	n=$((n + 1))
	[ -e "tests/${test%%.*}/${test#*.}.sh" ] || [ -e "tests/unit/${test#*.}.c" ] || fail "docs/architecture.md: no test $test"
done < <(grep -ohE '`(unit|sys|plan|lint)\.[a-z_0-9]+`' docs/*.md | tr -d '`' | sort -u)
[ $n -gt 50 ] || fail "only $n names found: has the form of the documents changed?"
[ $bad = 0 ] && echo "ok   $n names"
exit $bad
