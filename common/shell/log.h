/* One line per event on standard error, logfmt (default) or JSON, with ts, level, svc and msg. */
#ifndef CAIRN_LOG_H
#define CAIRN_LOG_H

#include <stdbool.h>

typedef enum { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG, LOG_TRACE, LOG_LEVELS } log_level;

/* `service` is borrowed for ever (a literal). */
void log_init(const char *service, log_level level, bool json);
void log_set_level(log_level level);
/* False and `*level` untouched when `name` is none of error, warn, info, debug, trace. */
bool log_level_parse(const char *name, log_level *level);
void log_line(log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#define log_error(...) log_line(LOG_ERROR, __VA_ARGS__)
#define log_warn(...)  log_line(LOG_WARN, __VA_ARGS__)
#define log_info(...)  log_line(LOG_INFO, __VA_ARGS__)
#define log_debug(...) log_line(LOG_DEBUG, __VA_ARGS__)

#endif
