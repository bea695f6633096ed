/* log.h - the agent's own log: one line per message on stderr (with syslog levels, "<6>core: started", if
 * requested), or to syslog with LIMPET_LOG=syslog in the environment. Programs log, once; floors 0 and 1
 * return errors instead. */
#ifndef PLATFORM_LOG_H
#define PLATFORM_LOG_H
enum log_level { LOG_ERROR_ = 3, LOG_WARN_ = 4, LOG_INFO_ = 6, LOG_DEBUG_ = 7 };

/* who: prefix of each line ("core"). level: the highest that is printed. syslog_prefix: print "<N>" before
 * each (journald). */
void log_init(const char *who, enum log_level level, int syslog_prefix);
/* Print one line, a newline is added; nothing above the level of log_init. */
void log_write(enum log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
#define log_error(...) log_write(LOG_ERROR_, __VA_ARGS__)
#define log_warn(...)  log_write(LOG_WARN_, __VA_ARGS__)
#define log_info(...)  log_write(LOG_INFO_, __VA_ARGS__)
#define log_debug(...) log_write(LOG_DEBUG_, __VA_ARGS__)
#endif
