/* The raw limits of this machine in this minute, to put the figures of Cairn beside. */
#ifndef CAIRN_BENCH_RAW_H
#define CAIRN_BENCH_RAW_H

/* Each returns operations per second, 0 when it could not be measured; `dir` is an existing directory. */
double bench_raw_flushes(const char *dir);
/* Synced LMDB commits per second with `events` puts of 200 bytes each. */
double bench_raw_lmdb(const char *dir, unsigned events);
double bench_raw_verifies(void);

#endif
