/* A laboratory: N modems on one channel, on virtual time. Feed bytes of hosts, take bytes for them, ask for the next
 * moment, step to it; each step that ends a frame tells who heard it. Also plays recorded frames from an aerial of its
 * own, the last station. */
#ifndef CAIRN_ETHER_CORE_H
#define CAIRN_ETHER_CORE_H

#include "ether/channel_core.h"
#include "ether/modem_core.h"
#include "ether/tally_core.h"

typedef struct {
    uint32_t stations;                /* 1 … AIR_STATIONS_MAX - 1 */
    const modem_board *const *boards; /* one for each; borrowed during ether_new */
    const char *region;               /* for the tally; NULL: none; borrowed */
    uint64_t seed;
    uint64_t tcp_timeout_us;
} ether_spec;

typedef struct ether ether;

/* NULL: no memory. */
ether *ether_new(const ether_spec *spec);
void ether_free(ether **e);

uint32_t ether_stations(const ether *e);
/* The number, from 0, of the aerial that plays recordings: one more than there are stations. */
uint32_t ether_player(const ether *e);
const tally *ether_tally(const ether *e);

/* A station's modem: for questions, modem_output and modem_output_taken. What makes it act goes through the calls below,
 * which all happen at the moment that ether_step has reached. */
modem *ether_modem(ether *e, uint32_t station);
void ether_feed(ether *e, uint32_t station, bytes in);
void ether_set_host(ether *e, uint32_t station, modem_host host);
void ether_line_opened(ether *e, uint32_t station);
void ether_do(ether *e, uint32_t station, modem_fault fault, uint32_t value);
/* A change of the channel, now or at its time. ERR_NO_MEMORY. */
err_t ether_change(ether *e, const channel_change *change) CAIRN_CHECK;

/* A recorded frame goes on the air at that time, or when the aerial is free again. ERR_NO_MEMORY. */
err_t ether_play(ether *e, const air_tuning *tuning, bytes frame, air_us at) CAIRN_CHECK;
size_t ether_to_play(const ether *e);

air_us ether_now(const ether *e);
air_us ether_next(const ether *e);
/* Goes on until a frame has ended, which is returned and borrowed until the next call, or until `now`: then NULL. */
const channel_frame *ether_step(ether *e, air_us now);

#endif
