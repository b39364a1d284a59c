/* The supervisor of `cairn up`: starts the processes of a node, starts them again with growing delay when they end,
 * stops them in order. It is a service like the others (lock, loop, health) that owns nothing but its children. */
#ifndef CAIRN_SUPERVISE_H
#define CAIRN_SUPERVISE_H

#include "shell/service.h"

extern const service_def supervise_def;

/* In start order; stopped in the reverse. */
#define SUPERVISE_PROCESSES 4
extern const char *const supervise_names[SUPERVISE_PROCESSES];
/* One more where there is a radio, started after them. */
#define SUPERVISE_RADIO "radio-bridge"
#define SUPERVISE_MAX   (SUPERVISE_PROCESSES + 1)

/* Path of one of Cairn's programs ("cairn-store"): beside this one, or in CAIRN_BIN. */
void supervise_program(char out[HOME_PATH_MAX], const char *program);

#endif
