/* cni.h - networks by CNI plugins of the host: the CNI specification 1.0, as a runtime (its sections 1, 2, 4
 * and 5). Lists (*.conflist) from /etc/cni/net.d, plugins from /opt/cni/bin and /usr/lib/cni. A record of
 * each box is in /run/limpet-cni from before the first ADD until every DEL has succeeded: any later process
 * can undo it. Plugins are programs of the host: no environment except CNI's own, no file of an image. Blocks
 * while they run, at most CNI_S seconds each. Private to runtime/. */
#ifndef RUNTIME_CNI_H
#define RUNTIME_CNI_H
#include <sys/types.h>

#include "platform/json.h"
#include "runtime/net/net.h"
#include "runtime/spec/spec.h"

#define CNI_S 30
/* ADD by every plugin of list s->net_name, interface eth0 in the namespace of pid, s->ports as portMappings.
 * If one fails, DEL is sent to all. Errors: NOTFOUND (no such list, no such plugin), INVALID (the list, or a
 * result), IO with the plugin's name and message, TIMEOUT. */
NODISCARD int cni_add(pid_t pid, const struct spec *s, struct net_box *ret, struct err *err);
/* DEL, last plugin first; without a record nothing needs to be done. If a plugin fails the record is kept for
 * the next try. Errors: IO, TIMEOUT. */
NODISCARD int cni_del(const char *id, struct err *err);
/* CHECK by every plugin, with the result of ADD; the list may disable it. NOTFOUND: this box has no such
 * network. */
NODISCARD int cni_check(const char *id, struct err *err);
/* Is there a list of that name, and all its plugins? NOTFOUND, INVALID. */
NODISCARD int cni_look(const char *name, struct err *err);
/* resolv.conf from the result of ADD; NULL: it names no server. malloc'd, owner: caller. The second is
 * pure. */
char *cni_dns(const char *id);
char *cni_dns_text(const struct json_cur *result);
/* After a crash: DEL for every box whose process is gone. */
void cni_sweep(void);
#endif
