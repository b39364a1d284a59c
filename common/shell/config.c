#include "shell/config.h"

#include "shell/home.h"

#include <assert.h>
#include <confuse.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

const config_row config_rows[] = {
#define CONFIG(section, name, type, fallback, min, max, doc)                                       \
    {#section, #name, CONFIG_##type, fallback, min, max, doc},
#include "shell/config.def"
#undef CONFIG
};
const size_t config_rows_count = sizeof config_rows / sizeof config_rows[0];

#define SECRET_FILE_MAX_BYTES 65536u

#define ROWS (sizeof config_rows / sizeof config_rows[0])

struct config {
    char *value[ROWS];
    char origin[ROWS][64];
};

static size_t row_index(const char *section, const char *name)
{
    for (size_t i = 0; i < ROWS; i++)
        if (strcmp(config_rows[i].section, section) == 0 && strcmp(config_rows[i].name, name) == 0)
            return i;
    return ROWS;
}

static bool valid_int(const config_row *row, const char *text, const char *origin, buf *why)
{
    char *end;
    long v = strtol(text, &end, 10);
    if (*text != '\0' && *end == '\0' && v >= row->min && v <= row->max)
        return true;
    buf_addf(why, "%s: %s.%s must be a number from %ld to %ld, not \"%s\"", origin, row->section,
             row->name, row->min, row->max, text);
    return false;
}

static bool valid(const config_row *row, const char *text, const char *origin, buf *why)
{
    if (row->type == CONFIG_INT)
        return valid_int(row, text, origin, why);
    if (row->type == CONFIG_BOOL && strcmp(text, "true") != 0 && strcmp(text, "false") != 0) {
        buf_addf(why, "%s: %s.%s must be true or false, not \"%s\"", origin, row->section,
                 row->name, text);
        return false;
    }
    return true;
}

static err_t set_row(config *c, size_t i, const char *text, const char *origin, buf *why)
{
    if (!valid(&config_rows[i], text, origin, why))
        return ERR_INVALID;
    char *copy = strdup(text);
    if (copy == NULL)
        return ERR_NO_MEMORY;
    free(c->value[i]);
    c->value[i] = copy;
    snprintf(c->origin[i], sizeof c->origin[i], "%s", origin);
    return ERR_OK;
}

/* libconfuse reports through a callback without a context, and inside of a section without the file's name. */
static buf *confuse_why;
static const char *confuse_path;

static void on_confuse_error(cfg_t *cfg, const char *fmt, va_list ap)
{
    char text[256];
    vsnprintf(text, sizeof text, fmt, ap);
    if (confuse_why != NULL && confuse_why->len == 0)
        buf_addf(confuse_why, "%s:%d: %s (see: cairn config example)",
                 cfg != NULL && cfg->filename != NULL ? cfg->filename : confuse_path,
                 cfg != NULL ? cfg->line : 0, text);
}

/* Options are read as strings whatever their type, so that one place checks file, environment and
 * command line. */
static size_t section_opts(const char *section, cfg_opt_t *opts)
{
    size_t n = 0;
    for (size_t i = 0; i < ROWS; i++)
        if (strcmp(config_rows[i].section, section) == 0)
            opts[n++] = (cfg_opt_t)CFG_STR(config_rows[i].name, NULL, CFGF_NODEFAULT);
    opts[n] = (cfg_opt_t)CFG_END();
    return n;
}

static err_t take_section(config *c, cfg_t *cfg, const char *path, buf *why)
{
    for (size_t i = 0; i < ROWS; i++) {
        cfg_t *sec =
            cfg_size(cfg, config_rows[i].section) ? cfg_getsec(cfg, config_rows[i].section) : NULL;
        const char *text = sec != NULL ? cfg_getstr(sec, config_rows[i].name) : NULL;
        if (text != NULL)
            TRY(set_row(c, i, text, path, why));
    }
    return ERR_OK;
}

static err_t read_file(config *c, const char *path, buf *why)
{
    cfg_opt_t opts[ROWS][ROWS + 1], top[ROWS + 1];
    size_t n = 0;
    for (size_t i = 0; i < ROWS; i++) {
        if (row_index(config_rows[i].section, config_rows[i].name) != i ||
            (i > 0 && strcmp(config_rows[i - 1].section, config_rows[i].section) == 0))
            continue;
        section_opts(config_rows[i].section, opts[n]);
        top[n] = (cfg_opt_t)CFG_SEC(config_rows[i].section, opts[n], CFGF_NONE);
        n++;
    }
    top[n] = (cfg_opt_t)CFG_END();
    cfg_t *cfg = cfg_init(top, CFGF_NONE);
    if (cfg == NULL)
        return ERR_NO_MEMORY;
    confuse_why = why;
    confuse_path = path;
    cfg_set_error_function(cfg, on_confuse_error);
    int rc = cfg_parse(cfg, path);
    err_t e = rc == CFG_SUCCESS || rc == CFG_FILE_ERROR ? ERR_OK : ERR_INVALID;
    if (rc == CFG_FILE_ERROR && access(path, F_OK) == 0) {
        buf_addf(why, "cannot read %s: is it yours?", path);
        e = ERR_INVALID;
    }
    if (e == ERR_OK && rc == CFG_SUCCESS)
        e = take_section(c, cfg, path, why);
    confuse_why = NULL;
    cfg_free(cfg);
    return e;
}

/* NAME_FILE instead of NAME, for what must not stand in the environment: the file's content, without the line's end. */
static err_t read_named_file(config *c, size_t row, const char *name, buf *why)
{
    char variable[80];
    snprintf(variable, sizeof variable, "%s_FILE", name);
    const char *path = getenv(variable);
    if (path == NULL || *path == '\0')
        return ERR_OK;
    buf text;
    buf_init(&text, SECRET_FILE_MAX_BYTES);
    err_t e = home_read_file(path, &text);
    if (e != ERR_OK)
        buf_addf(why, "%s: cannot read %s: %s", variable, path, err_text(e));
    while (text.len > 0 && (text.p[text.len - 1] == '\n' || text.p[text.len - 1] == '\r'))
        text.len--;
    if (e == ERR_OK && text.len > 0 && memchr(text.p, 0, text.len) != NULL) {
        buf_addf(why, "%s: %s is no text", variable, path);
        e = ERR_INVALID;
    }
    if (e == ERR_OK)
        e = buf_add_u8(&text, 0) ? set_row(c, row, (const char *)text.p, variable, why) : text.err;
    buf_release(&text);
    return e;
}

static err_t read_environment(config *c, buf *why)
{
    for (size_t i = 0; i < ROWS; i++) {
        char name[64];
        snprintf(name, sizeof name, "CAIRN_%s_%s", config_rows[i].section, config_rows[i].name);
        for (char *p = name; *p != '\0'; p++)
            *p = (char)toupper((unsigned char)*p);
        const char *text = getenv(name);
        TRY(text != NULL ? set_row(c, i, text, name, why) : read_named_file(c, i, name, why));
    }
    return ERR_OK;
}

static err_t load(config *c, const char *path, buf *why)
{
    for (size_t i = 0; i < ROWS; i++)
        TRY(set_row(c, i, config_rows[i].fallback, "default", why));
    TRY(read_file(c, path, why));
    return read_environment(c, why);
}

config *config_load(const char *path, buf *why)
{
    config *c = calloc(1, sizeof *c);
    if (c == NULL)
        return NULL;
    err_t e = load(c, path, why);
    if (e == ERR_OK)
        return c;
    if (why->len == 0)
        buf_add_str(why, err_text(e));
    config_free(c);
    return NULL;
}

void config_free(config *c)
{
    if (c == NULL)
        return;
    for (size_t i = 0; i < ROWS; i++)
        free(c->value[i]);
    free(c);
}

err_t config_set(config *c, const char *section, const char *name, const char *value, buf *why)
{
    size_t i = row_index(section, name);
    return i == ROWS ? ERR_NOT_FOUND : set_row(c, i, value, "command line", why);
}

static const char *typed_value(const config *c, const char *section, const char *name,
                               config_type type)
{
    size_t i = row_index(section, name);
    assert(i < ROWS && config_rows[i].type == type);
    return c->value[i];
}

long config_int(const config *c, const char *section, const char *name)
{
    return strtol(typed_value(c, section, name, CONFIG_INT), NULL, 10);
}

bool config_bool(const config *c, const char *section, const char *name)
{
    return strcmp(typed_value(c, section, name, CONFIG_BOOL), "true") == 0;
}

const char *config_str(const config *c, const char *section, const char *name)
{
    return typed_value(c, section, name, CONFIG_STR);
}

const char *config_origin(const config *c, size_t row)
{
    return c->origin[row];
}

const char *config_value_text(const config *c, size_t row)
{
    return c->value[row];
}

void config_example(buf *out)
{
    const char *section = "";
    for (size_t i = 0; i < ROWS; i++) {
        const config_row *row = &config_rows[i];
        if (strcmp(section, row->section) != 0)
            buf_addf(out, "%s%s {\n", *section != '\0' ? "}\n" : "", row->section);
        section = row->section;
        buf_addf(out, "    # %s\n    # %s = \"%s\"\n", row->doc, row->name, row->fallback);
    }
    buf_add_str(out, "}\n");
}
