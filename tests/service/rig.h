/* One real service process on a home of its own, for service tests: the others are played by the test. Everything
 * below fails the test when it does not work. */
#ifndef CAIRN_TEST_RIG_H
#define CAIRN_TEST_RIG_H

#include "shell/clnt.h"
#include "shell/home.h"

#include <sys/types.h>

#define RIG_MS 30000u /* longer than anything waits when all is well */

typedef struct {
    const char *service; /* "projection" */
    cairn_home home;     /* below TMPDIR, with a dataset */
    bus bus;
    clnt *clnt;
    pid_t pid; /* 0: not running */
} rig;

/* Makes the home; starts nothing. A rig stays where it was made. */
void rig_init(rig *r, const char *service);
/* The same with a dataset of the test's own choice. */
void rig_init_of(rig *r, const char *service, const dataset_id *dataset);
/* Stops what runs and removes the home. */
void rig_release(rig *r);

void rig_start(rig *r);
/* SIGKILL, and waits for the end. */
void rig_kill(rig *r);
/* SIGTERM; it must end with exit code 0. */
void rig_stop(rig *r);

/* Asks and waits; the reply borrows the client until its next call. */
void rig_ask(rig *r, const msg_desc *request, const void *msg, void *reply);
/* Expects this error; `text` (may be NULL) receives the words. */
void rig_ask_fails(rig *r, const msg_desc *request, const void *msg, err_t e, buf *text);
/* Pumps the client until *flag, which a callback sets. */
void rig_await(rig *r, const bool *flag);
/* Path of a file in the service's directory. */
void rig_path(const rig *r, char out[HOME_PATH_MAX], const char *name);

#endif
