#!/usr/bin/env bash
# Core waits for nobody whom an app, a broker, a server or a user can delay. Each call that can wait, in what agentd-core is made of, stands in
# waits.allowed with how often and why it may: "FILE CALL COUNT REASON". A new one fails until somebody has thought about it.
set -euo pipefail
cd "${SOURCE:?}"
allowed=tests/lint/waits.allowed
calls='waitpid|waitid|wait4|poll|ppoll|select|pselect|epoll_wait|nanosleep|usleep|sleep|connect|accept4|recv|recvmsg|recvfrom|flock|lockf|system|popen|fgets|getline|fs_lock|tool_run|sys_wait_child|cgroup_sleep_ms|cgroup_remove|cgroup_freeze|box_exec_start|box_cleanup|msg_recv|read'
# not in core: agentctl, the keeper, link, the runtime's command line, programs of their own
others='^(agent/(cli|link|keeper)/|runtime/(limpet/|box/init\.|seccomp/seccomp_tool)|ota/(fetch/|layer/(untar_|unzstd|gunzip|layer|sandboxed)|pull/unpack_|pack/predict|store/(stream|untar_run)))'
found() { # FOLDER: "FILE CALL", one for each
	find "$1" -name '*.c' | grep -vE "$others" | sort | while read -r f; do
		grep -vE '^ ?\*|^/\*' "$f" | sed -E 's#/\*.*\*/##; s#"[^"]*"##g' | grep -vE '^(static |int |bool |void )' | grep -oE "\\b($calls)\\(" | sed "s#(\$##; s#^#$f #" || true
	done
}
[ -n "$(found platform | grep 'platform/loop.c epoll_wait')" ] || { echo "control: the loop's own wait is not found"; exit 1; }
for d in platform runtime ota agent; do found $d; done | sort | uniq -c | awk '{print $2, $3, $1}' >"${TMPDIR:-/tmp}/limpet-waits.$$"
trap 'rm -f "${TMPDIR:-/tmp}/limpet-waits.$$"' EXIT
bad=0
awk 'NF && NF < 4 {print "no reason: " $0; exit 1}' "$allowed" || bad=1
diff <(awk 'NF {print $1, $2, $3}' "$allowed" | sort) <(sort "${TMPDIR:-/tmp}/limpet-waits.$$") >"${TMPDIR:-/tmp}/limpet-waits.$$.d" || {
	sed -n 's/^>/waits, and is not allowed (a job? a bound?):/p; s/^</allowed, and is not there any more:/p' "${TMPDIR:-/tmp}/limpet-waits.$$.d"
	bad=1
}
rm -f "${TMPDIR:-/tmp}/limpet-waits.$$.d"
exit $bad
