/* app_file.h - an app's file, run_dir/app/NAME.json: what the next core needs to know. */
#ifndef AGENT_APP_FILE_H
#define AGENT_APP_FILE_H
#include "agent/boxes/app_table.h"

/* A failure is only logged. */
void app_file_save(struct app *a);
/* False: something is missing, and *a is unusable. */
bool app_file_read(struct app *a, const struct json_cur *o);
#endif
