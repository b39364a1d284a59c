/* Which word did they mean: optimal string alignment distance (Damerau-Levenshtein without moves across). */
#include "cli/cmdline_impl.h"

#include <string.h>

#define WORD_MAX 48u

static unsigned least(unsigned a, unsigned b)
{
    return a < b ? a : b;
}

static unsigned distance(const char *a, const char *b)
{
    size_t n = strlen(a), m = strlen(b);
    unsigned row[3][WORD_MAX + 1]; /* two rows ago, the last one, this one */
    if (n > WORD_MAX || m > WORD_MAX)
        return WORD_MAX;
    for (size_t k = 0; k <= m; k++)
        row[1][k] = row[2][k] = (unsigned)k;
    for (size_t i = 1; i <= n; i++) {
        row[2][0] = (unsigned)i;
        for (size_t k = 1; k <= m; k++) {
            unsigned d = row[1][k - 1] + (a[i - 1] != b[k - 1]);
            d = least(d, least(row[1][k], row[2][k - 1]) + 1);
            if (i > 1 && k > 1 && a[i - 1] == b[k - 2] && a[i - 2] == b[k - 1])
                d = least(d, row[0][k - 2] + 1);
            row[2][k] = d;
        }
        memcpy(row[0], row[1], sizeof row[0]);
        memcpy(row[1], row[2], sizeof row[1]);
    }
    return row[1][m];
}

void cmdline_near_try(cmdline_near *n, const char *word)
{
    size_t len = strlen(n->typed);
    unsigned enough = len < 3 ? 1 : (unsigned)(1 + len / 4);
    unsigned d = distance(n->typed, word);
    if (len >= 2 && strncmp(n->typed, word, len) == 0)
        d = 1; /* it was only begun */
    if (d > enough || d >= strlen(word) || (n->best != NULL && d >= n->distance))
        return;
    n->best = word;
    n->distance = d;
}
