/* Ctrl-C and a polite kill as a word that long commands look at, so that they end where nothing is half done. */
#ifndef CAIRN_INTERRUPT_H
#define CAIRN_INTERRUPT_H

#include <signal.h>

/* Set by the first of them; looked at by whoever loops. */
extern volatile sig_atomic_t interrupted;
/* From here on SIGINT and SIGTERM only set `interrupted`; calls that wait end with EINTR. */
void interrupt_catch(void);

#endif
