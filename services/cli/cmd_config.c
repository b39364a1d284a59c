/* cairn config: is the file right, what holds now and from where, and an example to copy. */
#include "cli/cmd.h"
#include "cli/out.h"
#include "shell/config.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* The home's file, whether or not there is a dataset. NULL after having said what is wrong. */
static config *load(const cmdline *c, char path[HOME_PATH_MAX])
{
    node n;
    config *conf = NULL;
    if (node_open(&n, cmdline_get(c, "home"), false)) {
        home_path(&n.home, path, "cairn.conf");
        buf_clear(&n.words);
        conf = config_load(path, &n.words);
        if (conf == NULL)
            node_fail("%.*s", (int)n.words.len, (const char *)n.words.p);
    }
    node_close(&n);
    return conf;
}

int cmd_config_check(const cmdline *c)
{
    char path[HOME_PATH_MAX];
    config *conf = load(c, path);
    if (conf == NULL)
        return 1;
    config_free(conf);
    if (!cmdline_has(c, "quiet"))
        fprintf(stderr,
                access(path, F_OK) == 0 ? "%s is right.\n"
                                        : "There is no %s: every option has its default.\n",
                path);
    return 0;
}

static void show_row(const config *conf, size_t i, bool origin)
{
    const config_row *row = &config_rows[i];
    printf("%s.%s = \"%s\"", row->section, row->name, config_value_text(conf, i));
    if (origin)
        printf("  # %s", config_origin(conf, i));
    printf("\n");
}

static void show_json(buf *b, const config *conf, size_t i)
{
    const config_row *row = &config_rows[i];
    out_open(b);
    out_cstr(b, "section", row->section);
    out_cstr(b, "name", row->name);
    out_cstr(b, "value", config_value_text(conf, i));
    out_cstr(b, "origin", config_origin(conf, i));
    out_close(b);
}

int cmd_config_show(const cmdline *c)
{
    char path[HOME_PATH_MAX];
    buf json;
    config *conf = load(c, path);
    if (conf == NULL)
        return 1;
    buf_init(&json, 1u << 16);
    for (size_t i = 0; i < config_rows_count; i++) {
        if (cmdline_has(c, "json"))
            show_json(&json, conf, i);
        else
            show_row(conf, i, cmdline_has(c, "origin"));
    }
    buf_release(&json);
    config_free(conf);
    return 0;
}

int cmd_config_example(const cmdline *c)
{
    buf text;
    (void)c;
    buf_init(&text, 1u << 16);
    config_example(&text);
    size_t n = text.err == ERR_OK ? fwrite(text.p, 1, text.len, stdout) : 0;
    int status = n == text.len && n > 0 ? 0 : node_fail("cannot write: %s", strerror(errno));
    buf_release(&text);
    return status;
}
