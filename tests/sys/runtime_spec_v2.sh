#!/usr/bin/env bash
# runtime_spec in a view of the machine that has cgroup v2 alone.
LIMPET_V2_VIEW=1 exec "$SOURCE/tests/sys/runtime_spec.sh"
