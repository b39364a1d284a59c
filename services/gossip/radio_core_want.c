/* What others lack of a feed: a few ranges, so that of what two of them missed nothing between is said again. */
#include "gossip/radio_core_impl.h"

static void drop(radio_feed *f, uint32_t i)
{
    memmove(&f->wants[i], &f->wants[i + 1], (f->n_wants - i - 1) * sizeof *f->wants);
    f->n_wants--;
}

/* Unites with what overlaps or touches; without room, with the last one, whatever lies between. */
void radio_want_add(radio_feed *f, uint64_t first, uint64_t last)
{
    uint32_t i = 0;
    while (i < f->n_wants) {
        const radio_range *r = &f->wants[i];
        bool touches = first <= r->last + 1 && r->first <= last + 1;
        bool full = f->n_wants == RADIO_RANGES && i + 1 == f->n_wants;
        if (!touches && !full) {
            i++;
            continue;
        }
        first = r->first < first ? r->first : first;
        last = r->last > last ? r->last : last;
        drop(f, i);
        i = 0;
    }
    while (i > 0 && f->wants[i - 1].first > first)
        i--;
    memmove(&f->wants[i + 1], &f->wants[i], (f->n_wants - i) * sizeof *f->wants);
    f->wants[i] = (radio_range){first, last};
    f->n_wants++;
}

/* first … last was said. Of a range with a hole both ends stay, if there is room. */
void radio_want_cut(radio_feed *f, uint64_t first, uint64_t last)
{
    for (uint32_t i = 0; i < f->n_wants;) {
        radio_range *r = &f->wants[i], rest = {last + 1, r->last};
        if (last < r->first || r->last < first) {
            i++;
        } else if (first <= r->first && r->last <= last) {
            drop(f, i);
        } else if (first <= r->first) {
            r->first = last + 1;
            i++;
        } else {
            bool hole = last < r->last;
            if (!hole || f->n_wants < RADIO_RANGES)
                r->last = first - 1;
            if (hole && f->n_wants < RADIO_RANGES)
                radio_want_add(f, rest.first, rest.last);
            i++;
        }
    }
}
