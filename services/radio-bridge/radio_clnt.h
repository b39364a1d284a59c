/* What others on this machine ask the radio bridge: functions as shell/clnt_stub.h says; proto/radio.def says what they
 * mean. */
#ifndef CAIRN_RADIO_CLNT_H
#define CAIRN_RADIO_CLNT_H

#include "shell/clnt_stub.h"

#define RADIO_CLNT_MS 5000u

#define RADIO_STUB(ROW)                                                                            \
    ROW(radio, radio_state, RADIO_CLNT_MS)                                                         \
    ROW(radio, radio_airtime, RADIO_CLNT_MS)                                                       \
    ROW(radio, radio_log, RADIO_CLNT_MS + req->wait_ms)
RADIO_STUB(CLNT_STUB)

#endif
