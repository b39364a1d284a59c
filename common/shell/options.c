#include "shell/options.h"

#include <assert.h>
#include <getopt.h>
#include <stdio.h>

void options_print(const option_row *rows, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        char left[48];
        snprintf(left, sizeof left, "--%s %s", rows[i].name,
                 rows[i].argument != NULL ? rows[i].argument : "");
        printf("  %-24s %s\n", left, rows[i].doc);
    }
}

int options_parse(const char *program, const option_row *rows, size_t n, int argc, char **argv,
                  int (*take)(void *ctx, const char *name, const char *value), void *ctx)
{
    struct option longs[OPTIONS_MAX + 1] = {0};
    assert(n <= OPTIONS_MAX);
    for (size_t i = 0; i < n; i++)
        longs[i] = (struct option){
            rows[i].name, rows[i].argument != NULL ? required_argument : no_argument, NULL, 1};
    int index = 0, c, status = -1;
    optind = 1;
    while (status < 0 && (c = getopt_long(argc, argv, "", longs, &index)) != -1)
        status = c == 1 ? take(ctx, longs[index].name, optarg) : 2;
    if (status < 0 && optind < argc) {
        fprintf(stderr, "%s: unexpected argument \"%s\"\n", program, argv[optind]);
        status = 2;
    }
    if (status == 2)
        fprintf(stderr, "Try: %s --help\n", program);
    return status;
}
