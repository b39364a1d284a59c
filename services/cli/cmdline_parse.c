#include "cli/cmdline_impl.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_VALUE 256 /* of long options for getopt_long, above every letter */

/* ---- what is wrong ---- */

int cmdline_vusage(const cmdline *c, const char *fmt, va_list ap)
{
    const char *command = c->row ? c->row->name : NULL;
    fprintf(stderr, "%s: ", c->program->name);
    vfprintf(stderr, fmt, ap);
    if (command)
        fprintf(stderr, "\nTry \"%s %s --help\".\n", c->program->name, command);
    else
        fprintf(stderr, "\nTry \"%s --help\".\n", c->program->name);
    return 2;
}

__attribute__((format(printf, 2, 3))) static int wrong(const cmdline *c, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int status = cmdline_vusage(c, fmt, ap);
    va_end(ap);
    return status;
}

/* `name` and, when some known word is near, that one. */
static int unknown(const cmdline *c, const char *what, const char *dashes, const cmdline_near *near)
{
    if (near->best != NULL)
        return wrong(c, "there is no %s \"%s%s\": did you mean \"%s%s\"?", what, dashes,
                     near->typed, dashes, near->best);
    return wrong(c, "there is no %s \"%s%s\"", what, dashes, near->typed);
}

/* ---- values ---- */

bool cmdline_read_number(const char *text, uint64_t *out)
{
    uint64_t v = 0;
    if (*text == '\0')
        return false;
    for (const char *p = text; *p != '\0'; p++) {
        unsigned digit = (unsigned)*p - '0';
        if (digit > 9 || v > (UINT64_MAX - digit) / 10)
            return false;
        v = v * 10 + digit;
    }
    *out = v;
    return true;
}

static const struct {
    const char *unit;
    uint64_t ms;
} units[] = {{"ms", 1},      {"s", 1000},     {"m", 60000},
             {"h", 3600000}, {"d", 86400000}, {"w", 604800000}};

/* The unit at the start of `p` followed by a digit or the end. */
static bool read_unit(const char **p, uint64_t *ms)
{
    size_t n = strspn(*p, "abcdefghijklmnopqrstuvwxyz");
    for (size_t i = 0; i < sizeof units / sizeof *units; i++)
        if (strlen(units[i].unit) == n && strncmp(units[i].unit, *p, n) == 0) {
            *ms = units[i].ms;
            *p += n;
            return true;
        }
    return false;
}

bool cmdline_read_duration(const char *text, uint64_t *ms)
{
    const char *p = text;
    *ms = 0;
    while (*p != '\0') {
        char number[16] = "";
        uint64_t n, unit;
        size_t digits = strspn(p, "0123456789");
        if (digits == 0 || digits > 12)
            return false;
        memcpy(number, p, digits);
        p += digits;
        if (!cmdline_read_number(number, &n) || !read_unit(&p, &unit) || n > (1ull << 52) / unit)
            return false;
        *ms += n * unit;
    }
    return p != text && *ms < 1ull << 53;
}

static int check_number(const cmdline *c, const cmdline_option *o, const char *text)
{
    uint64_t v, max = o->max ? o->max : UINT64_MAX;
    if (cmdline_read_number(text, &v) && v >= o->min && v <= max)
        return 0;
    if (o->max == 0)
        return wrong(c, "--%s takes a whole number from %llu on, not \"%s\"", o->name,
                     (unsigned long long)o->min, text);
    return wrong(c, "--%s takes a whole number from %llu to %llu, not \"%s\"", o->name,
                 (unsigned long long)o->min, (unsigned long long)max, text);
}

static int check_choice(const cmdline *c, const cmdline_option *o, const char *text)
{
    size_t n = strlen(text);
    for (const char *p = o->arg;; p++) {
        size_t len = strcspn(p, "|");
        if (len == n && strncmp(p, text, n) == 0)
            return 0;
        p += len;
        if (*p == '\0')
            return wrong(c, "--%s takes one of %s, not \"%s\"", o->name, o->arg, text);
    }
}

bool cmdline_is_name(const char *text, size_t max)
{
    size_t len = strlen(text);
    bool plain = len > 0 && len <= max;
    for (size_t i = 0; i < len && plain; i++)
        plain = (unsigned char)text[i] >= ' ' && text[i] != 0x7f;
    return plain;
}

static bool is_address(const char *text)
{
    uint64_t port;
    const char *colon = strrchr(text, ':');
    return colon != NULL && colon > text && strcspn(text, " ,;") == strlen(text) &&
           cmdline_read_number(colon + 1, &port) && port < 65535;
}

static int check_value(const cmdline *c, const cmdline_option *o, const char *text)
{
    uint64_t ms;
    if (o->type == OPT_NAME && !cmdline_is_name(text, o->max))
        return wrong(c, "--%s takes one line of 1 to %llu bytes", o->name,
                     (unsigned long long)o->max);
    if ((o->type == OPT_ADDRESS || o->type == OPT_ADDRESSES) && !is_address(text))
        return wrong(c, "--%s takes %s with a port below 65535, not \"%.128s\"", o->name, o->arg,
                     text);
    if (o->type == OPT_NUMBER)
        return check_number(c, o, text);
    if (o->type == OPT_CHOICE)
        return check_choice(c, o, text);
    if (o->type == OPT_DURATION && !cmdline_read_duration(text, &ms))
        return wrong(c, "--%s takes a time like 90s, 24h or 7d, not \"%s\"", o->name, text);
    return 0;
}

/* ---- options ---- */

/* What getopt_long wants to know, and back. */
typedef struct {
    struct option *longs; /* n + 1, in the order of sources() */
    char *letters;
    size_t n;
} option_set;

static const cmdline_option *const *sources(const cmdline *c, const cmdline_option *out[4])
{
    size_t n = 0;
    if (c->row != NULL && c->row->options != NULL)
        out[n++] = c->row->options;
    if (c->program->options != NULL)
        out[n++] = c->program->options;
    out[n++] = cmdline_own_options;
    out[n] = NULL;
    return out;
}

const cmdline_option *cmdline_option_of(const cmdline *c, const char *name)
{
    const cmdline_option *lists[4];
    for (const cmdline_option *const *list = sources(c, lists); *list != NULL; list++)
        for (const cmdline_option *o = *list; o->name != NULL; o++)
            if (strcmp(o->name, name) == 0)
                return o;
    return NULL;
}

static void release_set(option_set *s)
{
    free(s->longs);
    free(s->letters);
}

static bool fill_set(const cmdline *c, bool stop_at_command, option_set *s)
{
    const cmdline_option *lists[4];
    size_t n = 0;
    for (const cmdline_option *const *list = sources(c, lists); *list != NULL; list++)
        for (const cmdline_option *o = *list; o->name != NULL; o++)
            n++;
    *s = (option_set){.longs = calloc(n + 1, sizeof *s->longs), .letters = calloc(2 * n + 3, 1)};
    if (s->longs == NULL || s->letters == NULL)
        return false;
    char *letter = s->letters;
    if (stop_at_command)
        *letter++ = '+';
    *letter++ = ':';
    for (const cmdline_option *const *list = sources(c, lists); *list != NULL; list++)
        for (const cmdline_option *o = *list; o->name != NULL; o++) {
            int has_arg = cmdline_takes_value(o) ? required_argument : no_argument;
            s->longs[s->n] = (struct option){o->name, has_arg, NULL, FIRST_VALUE + (int)s->n};
            s->n++;
            if (o->letter == 0 || strchr(s->letters + 1, o->letter) != NULL)
                continue;
            *letter++ = o->letter;
            if (has_arg == required_argument)
                *letter++ = ':';
        }
    return true;
}

/* What getopt_long calls `value`: a letter, or the place among all options. */
static const cmdline_option *option_by_value(const cmdline *c, int value)
{
    const cmdline_option *lists[4];
    int place = FIRST_VALUE;
    for (const cmdline_option *const *list = sources(c, lists); *list != NULL; list++)
        for (const cmdline_option *o = *list; o->name != NULL; o++, place++)
            if (value == place || (value != 0 && value == o->letter))
                return o;
    return NULL;
}

/* A long option that getopt_long does not take: a value that is too much, one begun in two ways, or unknown.
 * */
static int bad_long(const cmdline *c, const option_set *s, const char *text)
{
    char name[64];
    snprintf(name, sizeof name, "%.*s", (int)strcspn(text + 2, "="), text + 2);
    const char *first = NULL;
    cmdline_near near = {.typed = name};
    for (size_t i = 0; i < s->n; i++) {
        const char *known = s->longs[i].name;
        if (strncmp(known, name, strlen(name)) == 0 && first != NULL && strcmp(known, first) != 0)
            return wrong(c, "\"--%s\" can mean --%s or --%s", name, first, known);
        if (strncmp(known, name, strlen(name)) == 0)
            first = known;
        cmdline_near_try(&near, known);
    }
    return unknown(c, "option", "--", &near);
}

static int bad_option(const cmdline *c, const option_set *s, int found, char **argv)
{
    const cmdline_option *o = option_by_value(c, optopt);
    if (found == ':')
        return wrong(c, "--%s needs %s behind it", o->name, o->arg);
    if (o != NULL)
        return wrong(c, "--%s takes no value", o->name);
    if (optopt != 0)
        return wrong(c, "there is no option \"-%c\"", optopt);
    return bad_long(c, s, argv[optind - 1]);
}

static int take_option(cmdline *c, const cmdline_option *o, const char *text)
{
    if (o == &cmdline_own_options[0])
        c->help = true;
    else if (o == &cmdline_own_options[1])
        c->version = true;
    cmdline_given *more = realloc(c->given, (c->n_given + 1) * sizeof *more);
    if (more == NULL)
        return wrong(c, "out of memory");
    c->given = more;
    c->given[c->n_given++] = (cmdline_given){o, text};
    return text != NULL ? check_value(c, o, text) : 0;
}

static int read_options(cmdline *c, int argc, char **argv, option_set *s)
{
    int found, index = 0;
    opterr = 0;
    optind = 0; /* glibc: begin anew */
    while ((found = getopt_long(argc, argv, s->letters, s->longs, &index)) != -1) {
        const cmdline_option *o = found == '?' || found == ':' ? NULL : option_by_value(c, found);
        if (o == NULL)
            return bad_option(c, s, found, argv);
        int status = take_option(c, o, optarg);
        if (status != 0 || c->help)
            return status;
    }
    return 0;
}

/* ---- which command ---- */

size_t cmdline_first_word(const char *name)
{
    return strcspn(name, " ");
}

static bool is_name(const char *name, const char *first, const char *second)
{
    size_t n = cmdline_first_word(name);
    if (strlen(first) != n || strncmp(name, first, n) != 0)
        return false;
    return name[n] == '\0' || (second != NULL && strcmp(name + n + 1, second) == 0);
}

/* A family like `member` without a word that belongs to it. */
static int bad_family(const cmdline *c, const char *first, const char *second)
{
    char typed[128];
    buf words;
    const cmdline_row *row;
    size_t n = strlen(first);
    snprintf(typed, sizeof typed, "%s %s", first, second ? second : "");
    cmdline_near near = {.typed = typed};
    buf_init(&words, 4096);
    for (size_t i = 0; (row = cmdline_row_at(c->program, i)) != NULL; i++)
        if (cmdline_first_word(row->name) == n && strncmp(row->name, first, n) == 0) {
            (void)buf_addf(&words, "%s\"%s\"", words.len ? ", " : "", row->name);
            cmdline_near_try(&near, row->name);
        }
    int status = second != NULL && second[0] != '-' ? unknown(c, "command", "", &near)
                                                    : wrong(c, "\"%s\" is one of: %.*s", first,
                                                            (int)words.len, (const char *)words.p);
    buf_release(&words);
    return status;
}

/* Points c->row to the row that argv[0] and perhaps argv[1] name. *words: how many they are. */
static int find_command(cmdline *c, int argc, char **argv, int *words)
{
    const char *first = argv[0], *second = argc > 1 ? argv[1] : NULL;
    const cmdline_row *row;
    bool family = false;
    cmdline_near near = {.typed = first};
    for (size_t i = 0; (row = cmdline_row_at(c->program, i)) != NULL; i++) {
        size_t n = cmdline_first_word(row->name);
        if (is_name(row->name, first, second)) {
            c->row = row;
            *words = row->name[n] == ' ' ? 2 : 1;
            return 0;
        }
        family = family ||
                 (row->name[n] == ' ' && strlen(first) == n && strncmp(row->name, first, n) == 0);
        if (!row->hidden)
            cmdline_near_try(&near, row->name);
    }
    if (family && second != NULL && (strcmp(second, "--help") == 0 || strcmp(second, "-h") == 0)) {
        c->help = true;
        c->family = first;
        return 0;
    }
    return family ? bad_family(c, first, second) : unknown(c, "command", "", &near);
}

/* ---- arguments ---- */

cmdline_arity cmdline_arity_of(const char *args)
{
    cmdline_arity a = {0, 0};
    for (const char *p = args ? args : ""; *p != '\0';) {
        size_t n = strcspn(p, " ");
        bool many = (n >= 3 && memcmp(p + n - 3, "...", 3) == 0) ||
                    (n >= 3 && memcmp(p + n - 3, "\xe2\x80\xa6", 3) == 0) ||
                    (n >= 4 && memcmp(p + n - 4, "...]", 4) == 0) ||
                    (n >= 4 && memcmp(p + n - 4, "\xe2\x80\xa6]", 4) == 0);
        a.min += p[0] != '[';
        a.max = many || a.max == SIZE_MAX ? SIZE_MAX : a.max + 1;
        p += n + (p[n] == ' ');
    }
    return a;
}

void cmdline_put_missing(const char *args, size_t given, buf *out)
{
    for (const char *p = args ? args : ""; *p != '\0';) {
        size_t n = strcspn(p, " ");
        if (p[0] != '[' && given-- == 0) {
            (void)buf_add(out, p, n);
            return;
        }
        p += n + (p[n] == ' ');
    }
}

static int check_args(const cmdline *c)
{
    cmdline_arity a = cmdline_arity_of(c->row->args);
    if (c->n_args < a.min) {
        buf missing;
        buf_init(&missing, 256);
        cmdline_put_missing(c->row->args, c->n_args, &missing);
        int status =
            wrong(c, "\"%s\" needs %.*s", c->row->name, (int)missing.len, (const char *)missing.p);
        buf_release(&missing);
        return status;
    }
    if (c->n_args > a.max)
        return wrong(c, "\"%s\" is too much for \"%s\"", c->args[a.max], c->row->name);
    for (const cmdline_option *o = c->row->options; o != NULL && o->name != NULL; o++)
        if (o->required && !cmdline_has(c, o->name))
            return wrong(c, "\"%s\" needs --%s %s", c->row->name, o->name, o->arg ? o->arg : "");
    return 0;
}

/* ---- all of it ---- */

static int parse_before(cmdline *c, int argc, char **argv)
{
    option_set s;
    int status =
        fill_set(c, true, &s) ? read_options(c, argc, argv, &s) : wrong(c, "out of memory");
    release_set(&s);
    return status;
}

/* The line behind the command; line[0] is the program for getopt_long. */
static int parse_behind(cmdline *c, int argc, char **argv)
{
    option_set s;
    c->line = calloc((size_t)argc + 2, sizeof *c->line);
    if (c->line == NULL)
        return wrong(c, "out of memory");
    c->line[0] = (char *)(uintptr_t)c->program->name;
    memcpy(c->line + 1, argv, (size_t)argc * sizeof *argv);
    int status =
        fill_set(c, false, &s) ? read_options(c, argc + 1, c->line, &s) : wrong(c, "out of memory");
    release_set(&s);
    c->args = c->line + optind;
    c->n_args = (size_t)(argc + 1 - optind);
    return status;
}

int cmdline_parse(cmdline *c, int argc, char **argv)
{
    int words = 1;
    c->given = calloc((size_t)argc * 64 + 1,
                      sizeof *c->given); /* -abc is many options in one word: see below */
    if (c->given == NULL)
        return wrong(c, "out of memory");
    int status = parse_before(c, argc, argv);
    int at = optind;
    if (status != 0 || c->help || c->version)
        return status;
    if (at >= argc)
        return wrong(c, "say what to do: %s COMMAND", c->program->name);
    status = find_command(c, argc - at, argv + at, &words);
    if (status != 0 || c->row == NULL)
        return status;
    status = parse_behind(c, argc - at - words, argv + at + words);
    return status != 0 || c->help || c->version ? status : check_args(c);
}

void cmdline_release(cmdline *c)
{
    free(c->given);
    free(c->line);
}
