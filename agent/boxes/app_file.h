/* app_file.h - the file of an app, run_dir/app/NAME.json: what a successor of core needs. */
#ifndef AGENT_APP_FILE_H
#define AGENT_APP_FILE_H
#include "agent/boxes/app_table.h"

/* A failure is logged. */
void app_file_save(struct app *a);
/* False: something is missing, and *a is of no use. */
bool app_file_read(struct app *a, const struct json_cur *o);
#endif
