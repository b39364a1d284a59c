/* Inside of record_core: a fold under way. */
#ifndef CAIRN_RECORD_CORE_STATE_H
#define CAIRN_RECORD_CORE_STATE_H

#include "projection/record_core.h"

struct record_folder {
    arena arena;
    refs_stream refs;
    record_event *events;
    /* These two grow while events are read; they are kept from fold to fold. */
    record_write *writes;
    record_thing *things; /* what each write is about */
    uint32_t n_writes, writes_room;
    record_anomaly *anomalies;
    uint32_t n_anomalies, anomalies_room;
    record_slot *slots;
    uint32_t n_slots;
    uint32_t *by_slot;    /* writes, ordered by slot, within a slot as the events are */
    uint32_t *slot_first; /* n_slots + 1: where each slot begins in by_slot */
    sort_key *keys;       /* 2 * n_writes, for sorting */
    bool failed;          /* out of memory while growing */
    record_state out;
};

/* record_core_parse.c: fills kind, attributes and writes of event `at`, whose source, counts and erased are set. */
void record_parse(record_folder *f, uint32_t at);

/* record_core_live.c: fills the lists of live writes and what follows from them. */
err_t record_list_live(record_folder *f);

#endif
