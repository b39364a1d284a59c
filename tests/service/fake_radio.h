/* Gossip and merge as the radio bridge sees them, on a thread of the test, at one node's run directory: keys that the test
 * gives, frames that the test wants said, and what was heard and sent. What goes wrong inside fails the test. */
#ifndef CAIRN_FAKE_RADIO_H
#define CAIRN_FAKE_RADIO_H

#include "proto/msg.h"
#include "shell/home.h"

typedef struct fake_radio fake_radio;

typedef struct {
    radio_heard_request m; /* plain is empty: see below */
    uint8_t plain[RADIO_PLAIN_MAX_BYTES];
    size_t len;
} fake_heard;

/* Begins answering at once, as the node of that member, with no key and nothing to say. `home` is borrowed. */
fake_radio *fake_radio_new(const cairn_home *home, member_no self);
void fake_radio_free(fake_radio **f);

/* Adds a radio key; its bytes are all `fill`. */
void fake_radio_key(fake_radio *f, uint8_t epoch, uint8_t fill, uint64_t since_ms);
/* Wants `times` frames of that kind said, of `len` bytes that are all `fill`, but no more than fit. */
void fake_radio_say(fake_radio *f, uint8_t kind, uint8_t fill, size_t len, unsigned times);

/* Both wait until there are so many (fail after 30 s) and copy the one with that number, from 1. */
void fake_radio_heard(fake_radio *f, size_t number, fake_heard *out);
void fake_radio_sent(fake_radio *f, size_t number, radio_sent_request *out);
size_t fake_radio_heard_count(fake_radio *f);
size_t fake_radio_sent_count(fake_radio *f);

#endif
