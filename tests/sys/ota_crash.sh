#!/bin/sh
# SIGKILL at random moments of an install (tests/tool/ota_crash.py), then every system call of an update, a collection, a rollback, a verdict
# and a trust rotation killed or made to fail (tests/tool/ota_calls.py). "ota_crash.sh full": each of the pairs; ctest runs a part that is the
# same each time.
command -v python3 >/dev/null || { echo "skipped: no python3"; exit 77; }
[ "$(id -u)" = 0 ] || { echo "skipped: not root"; exit 77; }
rc=0
[ "$1" = full ] || python3 -B "$SOURCE/tests/tool/ota_crash.py" || rc=$?
python3 -B "$SOURCE/tests/tool/ota_calls.py" "$@" || rc=$?
exit $rc
