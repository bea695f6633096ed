#!/usr/bin/env bash
# Figures of the house that must hold: tests/bench/house prints them, and what is short of its aim there is a failure here.
set -euo pipefail
cd "${SOURCE:?}"
tests/bench/house >"${TMPDIR:-/tmp}/limpet-house.$$"
trap 'rm -f "${TMPDIR:-/tmp}/limpet-house.$$"' EXIT
[ "$(grep -c '; ok$' "${TMPDIR:-/tmp}/limpet-house.$$")" -ge 5 ] || { echo "control: no figures"; exit 1; }
if grep '; short$' "${TMPDIR:-/tmp}/limpet-house.$$"; then tests/bench/house -v | grep -v '^figure'; exit 1; fi
# Who failed and why is told by a kind of error, not by the words of its message.
if grep -nE 'strstr\([^,]*\b(err|why)\b' -r platform runtime ota agent fleet --include='*.c'; then echo "a message is searched: give the error a kind"; exit 1; fi
mapfile -t sources < <(git ls-files '*.c' 2>/dev/null | grep . || find platform runtime ota fleet agent tests -name '*.c')
python3 tests/lint/declarations.py "${sources[@]}"
