#include "projection/touched.h"

#include "prop.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#define ROWS 20000

Test(projection_touched, finds_each_stream_once_with_its_rows)
{
    prop_rng r = prop_begin("projection_touched");
    static unsigned stream_of[ROWS], rows_of[3000], position[3000];
    static bool broken[3000];
    touched t;
    touched_init(&t);
    for (unsigned round = 0; round < 3; round++) {
        memset(rows_of, 0, sizeof rows_of);
        memset(position, 0, sizeof position);
        memset(broken, 0, sizeof broken);
        for (unsigned i = 0; i < ROWS; i++) {
            char name[16];
            unsigned s = stream_of[i] = (unsigned)prop_below(&r, 3000);
            snprintf(name, sizeof name, "s%u", s / 2);
            if (prop_below(&r, 200) == 0)
                position[s]++; /* a row that is not in the batch */
            broken[s] = broken[s] || position[s] != rows_of[s];
            cr_assert_eq(
                touched_row(&t, bytes_str(s % 2 ? "a" : "b"), bytes_str(name), i, position[s]++),
                ERR_OK);
            rows_of[s]++;
        }
        unsigned seen = 0;
        for (uint32_t k = 0; k < t.n; k++) {
            unsigned first = stream_of[t.at[k].first], n = 0;
            cr_assert_eq(t.at[k].whole, !broken[first]);
            for (uint32_t i = t.at[k].first, before = 0; i != TOUCHED_NONE;
                 before = i, i = t.next[i], n++) {
                cr_assert_eq(stream_of[i], first);
                cr_assert(n == 0 || i > before);
            }
            cr_assert_eq(n, rows_of[first]);
            seen += n;
        }
        cr_assert_eq(seen, ROWS);
        cr_assert_eq(touched_stream_only(&t, t.at[0].category, t.at[0].stream), ERR_OK);
        cr_assert_not(t.at[0].whole);
        touched_clear(&t);
    }
    touched_release(&t);
}
