/* What `cairn doctor` looks at. Each check says one or more lines; it never stops the others. */
#ifndef CAIRN_DOCTOR_H
#define CAIRN_DOCTOR_H

#include "cli/cmdline.h"
#include "cli/node.h"
#include "shell/config.h"

#define DOCTOR_WAIT_MS 1500u /* for a process that listens */

typedef enum { DOCTOR_OK, DOCTOR_WARN, DOCTOR_FAIL } doctor_level;

typedef struct {
    const cmdline *line;
    node n;
    bool home_usable; /* else n.words says why not */
    bool up;          /* some process of the node answers */
    config *conf;     /* NULL when the file is wrong */
    bool as_json, colour;
    buf json;
    unsigned failed, warned;
} doctor;

/* One line of the report; `mend` is the command that mends it, NULL for none. */
void doctor_say(doctor *d, doctor_level level, const char *check, const char *mend, const char *fmt,
                ...) __attribute__((format(printf, 5, 6)));

/* ---- the machine: doctor_machine.c, doctor_network.c ---- */
void doctor_versions(doctor *d);
void doctor_clock(doctor *d);
void doctor_disk(doctor *d);
void doctor_ports(doctor *d);
void doctor_multicast(doctor *d);

/* ---- the node: doctor_node.c ---- */
void doctor_home(doctor *d);
void doctor_config(doctor *d);
void doctor_keys(doctor *d);
void doctor_run_dir(doctor *d);
void doctor_processes(doctor *d);
void doctor_database(doctor *d);
void doctor_member(doctor *d);
void doctor_views(doctor *d);
void doctor_peers(doctor *d);

#endif
