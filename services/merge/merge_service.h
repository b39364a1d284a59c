/* The merge process: merge_core with sockets. Shared by its files only. */
#ifndef CAIRN_MERGE_SERVICE_H
#define CAIRN_MERGE_SERVICE_H

#include "merge/merge_core.h"
#include "merge/merge_identity.h"
#include "shell/service.h"
#include "store/store_clnt.h"

enum {
    COUNT_EMITTED,
    COUNT_ACCEPTED,
    COUNT_DUPLICATES,
    COUNT_REFUSED,
    COUNT_BATCHES,
    COUNT_FAILED
};

typedef enum {
    WAIT_EMIT,
    WAIT_INGEST,
    WAIT_ADD,
    WAIT_OK,
    WAIT_REPLACE,
    WAIT_RADIO,
    WAIT_NOBODY
} wait_kind;

/* Who waits for a batch, and what to tell it. */
typedef struct waiter {
    struct waiter *next;
    service_call call;
    wait_kind kind;
    size_t first, count;  /* rows of an emit */
    ingest_reply ingest;  /* text is a literal */
    member_no number;     /* of an add; boxes of a radio key */
    uint8_t epoch;        /* of a radio key */
    struct idem_op *idem; /* owned: more calls with the same key */
} waiter;

/* An emit with an idempotency key, from its arrival to its answer: later calls with the key join it. */
typedef struct idem_op {
    struct idem_op *next;
    struct merge_service *m;
    char key[IDEM_KEY_MAX_BYTES + 1];
    buf body;
    service_call calls[8];
    size_t n_calls;
} idem_op;

/* A batch on its way to the store. */
typedef struct flight {
    struct flight *next;
    struct merge_service *m;
    merge_batch batch;
    waiter *waiters, **last_waiter; /* in the order of their requests */
    uint32_t salt;
    idem_row *idem;
    size_t n_idem;
    append_request request;
    bool sent, again; /* again: refused because an earlier batch was not there yet */
    bool done;        /* committed, but one before it is still to be answered */
    append_reply reply;
} flight;

/* A request that has to wait until nothing is in flight. */
typedef struct held {
    struct held *next;
    service_call call;
    buf body;
    member_no peer; /* of a released run: nobody waits */
} held;

typedef struct merge_service {
    service *s;
    merge_identity identity;
    merge_core *core;
    clnt *store;  /* asynchronous */
    clnt *direct; /* for the core's reads */
    bool ready, asking, reload, mend, barrier;
    uint16_t store_state;
    uint64_t radio_shared; /* version of the roster whose members all have the radio key */
    uint64_t writer;       /* tells the store this process from those before it */
    char trouble[ERROR_TEXT_MAX_BYTES];
    flight *open, *flights, *spare;
    size_t n_flights;
    held *first_held, **last_held;
    idem_op *idem;
} merge_service;

/* merge_store.c: the core's reads over the direct client. */
merge_io merge_store_io(merge_service *m);

/* merge_flight.c: batches, group commit, who waits. */
void merge_turn(service *s, void *self);
void merge_accept_emit(merge_service *m, const service_call *call, const emit_request *in,
                       idem_op *idem);
/* Runs a request now, or when nothing is in flight any more. `body` is borrowed. */
void merge_exclusive(merge_service *m, const service_call *call, const void *msg);
void merge_run_exclusive(merge_service *m, const service_call *call, const void *msg);
void merge_ingest_now(merge_service *m, const service_call *call, bytes run, member_no peer);
/* Takes a finished emit off the list of those under way. */
void merge_drop_idem(merge_service *m, idem_op *op);
void merge_flights_free(merge_service *m);
bool merge_must_wait(const merge_service *m);

flight *merge_flight_new(merge_service *m);
void merge_flight_recycle(merge_service *m, flight *f);
/* Sends a batch of our own for one caller. */
void merge_launch_for(merge_service *m, flight *f, const service_call *call, wait_kind kind,
                      member_no number);

/* The same for a radio key; nobody waits when `call` is NULL. */
void merge_launch_radio(merge_service *m, flight *f, const service_call *call, uint8_t epoch,
                        uint16_t boxes);

/* merge_members.c */
void merge_change_members(merge_service *m, const service_call *call, const void *msg);

/* merge_heir.c */
void merge_on_heir(service *s, void *self, const service_call *call, const void *msg);
void merge_replace_founder(merge_service *m, const service_call *call, const void *msg);

/* merge_camp.c */
err_t merge_enrol(service *s, buf *why);
bool merge_heir_waits(const service *s);
/* This key has written into a database before, and the store's is a new and empty one at its first incarnation: its
 * volume was lost. Remembers that there was one. Only in containers: else the store remembers it itself. */
bool merge_store_was_lost(const service *s, const store_hello_reply *hello);
void merge_on_heir_take(service *s, void *self, const service_call *call, const void *msg);

/* merge_radio.c */
void merge_on_radio_keys(service *s, void *self, const service_call *call, const void *msg);
void merge_give_radio_key(merge_service *m, const service_call *call, const radio_key_request *in);
/* At the founder's: gives the radio key, if there is one, to members who came after it. Nothing may be in flight. */
void merge_share_radio_key(merge_service *m);

/* dispatch.c */
bool merge_not_ready(merge_service *m, const service_call *call); /* then it has answered */
void merge_fail(merge_service *m, const service_call *call, err_t e, const buf *why);
/* Has the store name its damaged rows, so that peers are asked for them. */
void merge_ask_damage(merge_service *m);
extern const service_def merge_def;

/* merge_init.c: --init-key, --init-dataset, --init-member. */
#define MERGE_OPTIONS 8
extern const service_option merge_options[MERGE_OPTIONS];
bool merge_before(service *s, int *status);

#endif
