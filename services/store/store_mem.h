/* The store in memory: for the simulator and tests, and as the rows of store_file.c. By itself nothing of
 * it survives the process. */
#ifndef CAIRN_STORE_MEM_H
#define CAIRN_STORE_MEM_H

#include "store/store_kv.h"

/* NULL without memory. kv_free frees it. */
store_kv *store_mem_new(void);
/* What was committed so far, as a database of its own: a backup, or a cloned machine. No
 * transaction may be open. NULL without memory. */
store_kv *store_mem_copy(const store_kv *kv);
/* The next `after` commits succeed, every later one fails with `e` (ERR_FULL, ERR_IO …) until
 * called again; ERR_OK ends that. */
void store_mem_fail(store_kv *kv, unsigned after, err_t e);

#endif
