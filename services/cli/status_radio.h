/* The radio in `cairn status`: nothing where there is none. */
#ifndef CAIRN_STATUS_RADIO_H
#define CAIRN_STATUS_RADIO_H

#include "cli/node.h"

/* A member "radio": null, or an object. */
void status_radio_json(node *n, buf *out);
void status_radio_words(node *n, uint64_t now_ms);

#endif
