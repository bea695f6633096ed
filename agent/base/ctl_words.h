/* ctl_words.h - the protocol between agentctl and core: run_dir/ctl.sock, SOCK_SEQPACKET, root only
 * (SO_PEERCRED). Request: words, each terminated by NUL; for "apply" and "plan" an empty word, then the
 * document as a packed envelope (agentctl parses the JSON, so that core does not). Answer: messages "=" bytes
 * (more follow), finally "+" text (success) or "-" kind, a space, message.
 *   status | events N | history | plan [doc] | apply doc | rollback | log APP N
 *   exec APP TTY ARG...   with three fds: stdin, stdout, stderr; the answer is "+" exit status
 *   handover              by the next core, when the keeper was killed: "=fd NAME" with one fd each, "+",
 *                         core exits */
#ifndef AGENT_CTL_WORDS_H
#define AGENT_CTL_WORDS_H
#define CTL_SOCKET "ctl.sock"
#define CTL_PIECE  (48 * 1024)
#endif
