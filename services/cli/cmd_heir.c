/* heir take, heir check, heir use: the key on paper that init printed, when the founder's machine is lost. The key is
 * read from the terminal, a file or a pipe, never from the command line, and goes to merge only where it is to sign. */
#include "cli/cmd.h"
#include "cli/out.h"
#include "pure/crypto.h"
#include "pure/paper.h"
#include "pure/roster.h"
#include "shell/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <termios.h>
#include <unistd.h>

#define TYPED_MAX  512u
#define REPLACE_MS 120000u
#define LIMITS_MAX 64u

/* ---- reading the key ---- */

static bool read_all(int fd, char *text, size_t room, size_t *len)
{
    ssize_t n;
    *len = 0;
    while (*len < room && (n = read(fd, text + *len, room - *len)) != 0) {
        if (n < 0 && errno != EINTR)
            return false;
        if (n > 0)
            *len += (size_t)n;
    }
    return true;
}

/* One line from the terminal, which does not show it. */
static bool read_hidden(char *text, size_t room, size_t *len)
{
    struct termios shown, hidden;
    int fd = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
    if (fd < 0 || tcgetattr(fd, &shown) != 0) {
        if (fd >= 0)
            close(fd);
        node_fail("there is no terminal to type the heir key at: give a file, or - for standard "
                  "input");
        return false;
    }
    hidden = shown;
    hidden.c_lflag &= ~(tcflag_t)(ECHO | ISIG); /* Ctrl-C must not leave it so */
    (void)tcsetattr(fd, TCSAFLUSH, &hidden);
    fputs("Heir key (it is not shown; blanks do not matter): ", stderr);
    ssize_t n = read(fd, text, room);
    (void)tcsetattr(fd, TCSAFLUSH, &shown);
    close(fd);
    fputc('\n', stderr);
    *len = n > 0 ? (size_t)n : 0;
    return true;
}

static bool read_text(const char *from, char *text, size_t room, size_t *len)
{
    if (from == NULL)
        return read_hidden(text, room, len);
    int fd = strcmp(from, "-") == 0 ? STDIN_FILENO : open(from, O_RDONLY | O_CLOEXEC);
    bool ok = fd >= 0 && read_all(fd, text, room, len);
    if (!ok) /* the text may be the key itself: it is not said again */
        node_fail("cannot read that file (%s): the key itself is never given on the command line",
                  strerror(errno));
    if (fd > STDIN_FILENO)
        close(fd);
    return ok;
}

static bool read_key(const char *from, uint8_t seed[MEMBER_SEED_BYTES])
{
    char text[TYPED_MAX], why[ERROR_TEXT_MAX_BYTES] = "";
    size_t len = 0;
    err_t e = ERR_IO;
    if (read_text(from, text, sizeof text, &len)) {
        e = paper_read(bytes_of(text, len), seed, why);
        if (e != ERR_OK)
            node_fail("%s", why);
    }
    crypto_wipe(text, sizeof text);
    return e == ERR_OK;
}

static void public_half(const uint8_t seed[MEMBER_SEED_BYTES], member_key *out)
{
    crypto_signer key;
    crypto_signer_from_seed(&key, seed);
    *out = key.public;
    crypto_wipe(&key, sizeof key);
}

/* ---- asking merge ---- */

static bool is_up(const node *n)
{
    if (node_listens(n, "merge"))
        return true;
    node_fail("the node in %s is not up: cairn up --detach", n->home.path);
    return false;
}

static bool ask_standing(node *n, const member_key *key, msg_list limits, heir_reply *out)
{
    heir_request req = {.key = *key, .limits = limits};
    return node_ask_heir(n, &req, out) == ERR_OK;
}

static const char *standing_text(uint8_t standing)
{
    return standing == ROSTER_HEIR_STANDS
               ? "yes: this is the heir key of this dataset, and it was not used yet"
           : standing == ROSTER_HEIR_USED ? "no: this heir key was used already, and a newer one "
                                            "stands. Destroy this paper: whoever "
                                            "has it could still cut off that founder"
                                          : "no: no founder of this dataset named this key. It was "
                                            "typed right, so it is another "
                                            "dataset's, or this node has not heard of it yet";
}

/* ---- heir check ---- */

static void print_standing(const cmdline *c, uint8_t standing)
{
    static const char *const words[] = {"unknown", "stands", "used"};
    buf json;
    if (!cmdline_has(c, "json")) {
        printf("%s\n", standing_text(standing));
        return;
    }
    buf_init(&json, 1024);
    out_open(&json);
    out_cstr(&json, "heir", words[standing % 3]);
    out_close(&json);
    buf_release(&json);
}

int cmd_heir_check(const cmdline *c)
{
    node n;
    uint8_t seed[MEMBER_SEED_BYTES];
    member_key key;
    heir_reply reply;
    int status = 1;
    if (!node_open(&n, cmdline_get(c, "home"), true))
        return 1;
    if (is_up(&n) && read_key(cmdline_arg(c, 0), seed)) {
        public_half(seed, &key);
        crypto_wipe(seed, sizeof seed);
        if (ask_standing(&n, &key, MSG_LIST_OF(NULL, 0), &reply)) {
            print_standing(c, reply.standing);
            status = reply.standing != ROSTER_HEIR_STANDS;
        }
    }
    node_close(&n);
    return status;
}

/* ---- heir take ---- */

/* It goes from the node only when it has been printed. */
static int take(node *n)
{
    heir_take_reply reply;
    uint8_t seed[MEMBER_SEED_BYTES];
    char text[PAPER_TEXT_BYTES];
    if (node_ask_heir_take(n, &(heir_take_request){0}, &reply) != ERR_OK)
        return 1;
    if (reply.seed.len != sizeof seed)
        return node_fail("merge sent no key: is it of this version?");
    memcpy(seed, reply.seed.p, sizeof seed);
    paper_write(text, seed);
    crypto_wipe(seed, sizeof seed);
    fputs("Heir key, shown only now. Write it on paper and keep it away from this machine: cairn "
          "heir check tells\nwhether it was written down right.\n\n    ",
          stderr);
    bool printed = printf("%s\n", text) > 0 && fflush(stdout) == 0;
    crypto_wipe(text, sizeof text);
    if (!printed)
        return node_fail("it could not be printed: it stays where it is");
    return node_ask_heir_take(n, &(heir_take_request){.forget = true}, &reply) == ERR_OK ? 0 : 1;
}

int cmd_heir_take(const cmdline *c)
{
    node n;
    if (!node_open(&n, cmdline_get(c, "home"), true))
        return 1;
    int status = is_up(&n) ? take(&n) : 1;
    node_close(&n);
    return status;
}

/* ---- heir use ---- */

/* FEED:SEQ, several times. */
static bool read_limits(const cmdline *c, heir_limit_row rows[LIMITS_MAX], size_t *n)
{
    const char *text;
    for (*n = 0; *n < LIMITS_MAX && (text = cmdline_nth(c, "heads", *n)) != NULL; (*n)++) {
        char *end = NULL;
        unsigned long long feed = strtoull(text, &end, 10), seq = 0;
        bool ok = end != text && *end == ':' && feed <= UINT32_MAX;
        if (ok) {
            const char *digits = end + 1;
            seq = strtoull(digits, &end, 10);
            ok = end != digits && *end == '\0';
        }
        if (!ok)
            return false;
        rows[*n] = (heir_limit_row){.feed = (feed_id)feed, .seq = seq};
    }
    return cmdline_nth(c, "heads", *n) == NULL;
}

static void print_heads(const heir_head_row *heads, size_t n)
{
    static const char *const columns[] = {
        ">FEED", "CLASS", ">KEPT UP TO", "WRITTEN AT", ">NO LONGER COUNT", NULL};
    static const char *const classes[] = {"routine", "express", "bulk", "reserved"};
    out_table *t = out_table_new(columns);
    for (size_t i = 0; i < n; i++) {
        char feed[16], seq[24], when[32], beyond[24];
        snprintf(feed, sizeof feed, "%u", heads[i].feed);
        snprintf(seq, sizeof seq, "%llu", (unsigned long long)heads[i].seq);
        snprintf(beyond, sizeof beyond, "%llu", (unsigned long long)heads[i].beyond);
        clock_text(when, heads[i].wall_ms, false);
        out_table_row(t, (const char *const[]){feed, classes[feed_class_of(heads[i].feed)], seq,
                                               when, beyond, NULL});
    }
    fflush(stdout);
    out_table_print(t);
}

/* What the new key is worth, before it is: a lost answer must not lose the key. */
static void print_next(const uint8_t seed[MEMBER_SEED_BYTES])
{
    char text[PAPER_TEXT_BYTES];
    paper_write(text, seed);
    fputs("\nThe next heir key, shown only now. Write it on paper; it is good from the moment this "
          "is done. Then destroy\nthe old paper: whoever finds it could cut off the founder once "
          "more.\n\n    ",
          stderr);
    fflush(stderr);
    printf("%s\n\n", text);
    fflush(stdout);
    crypto_wipe(text, sizeof text);
}

static bool confirmed(const cmdline *c)
{
    char line[16] = "";
    if (cmdline_has(c, "yes"))
        return true;
    FILE *tty = fopen("/dev/tty", "r+e");
    if (tty == NULL) {
        node_fail("nobody is here to ask: give --yes");
        return false;
    }
    fputs("Replace the founder, with this node holding the new founder's key? [y/N] ", stderr);
    bool yes = fgets(line, sizeof line, tty) != NULL && (line[0] == 'y' || line[0] == 'Y');
    fclose(tty);
    if (!yes)
        node_fail("nothing was changed; the key above is void");
    return yes;
}

static int replace(node *n, const uint8_t seed[MEMBER_SEED_BYTES], const member_key *next,
                   const frontier_row *heads, size_t n_heads)
{
    founder_replace_request req = {.seed = bytes_of(seed, MEMBER_SEED_BYTES),
                                   .heir = *next,
                                   .heads = MSG_LIST_OF(heads, n_heads)};
    founder_replace_reply reply;
    err_t e = node_try_founder_replace(n, REPLACE_MS, &req, &reply);
    if (e == ERR_OK) {
        fputs("Done: this node holds the founder's key. It lies in merge/founder.key: back that "
              "up with merge/member.key.\nHere, invite, member remove and the like now act for "
              "the founder. Other nodes hear of it when they meet.\n",
              stderr);
        return 0;
    }
    node_fail("%.*s", (int)n->words.len, n->words.len > 0 ? (const char *)n->words.p : "");
    if (e == ERR_TIMEOUT || e == ERR_STOPPING || e == ERR_UNREACHABLE)
        node_fail("it may have been done all the same: keep both papers until cairn heir check "
                  "says which key is good");
    else
        node_fail("nothing was changed; the key above is void");
    return 1;
}

/* Orphans are told after the change: only then it is known who they are. */
static void print_orphans(node *n)
{
    merge_status_reply s;
    if (node_peek_merge_status(n, 5000, &(merge_status_request){0}, &s) && s.orphans > 0)
        fprintf(stderr,
                "%u member%s lost whoever had added %s: cairn member ls shows them, cairn member "
                "readd --all adds them again.\n",
                s.orphans, s.orphans > 1 ? "s" : "", s.orphans > 1 ? "them" : "it");
}

typedef struct {
    const cmdline *line;
    node n;
    uint8_t seed[MEMBER_SEED_BYTES], next_seed[MEMBER_SEED_BYTES];
    heir_limit_row limits[LIMITS_MAX];
    size_t n_limits;
    heir_head_row shown[ROSTER_LIST_MAX];
    frontier_row heads[ROSTER_LIST_MAX];
    size_t n_shown, n_heads;
} using;

static bool gather(using *u)
{
    member_key key;
    heir_reply reply;
    public_half(u->seed, &key);
    if (!ask_standing(&u->n, &key, MSG_LIST_OF(u->limits, u->n_limits), &reply))
        return false;
    if (reply.standing != ROSTER_HEIR_STANDS) {
        node_fail("%s%s", standing_text(reply.standing) + 4,
                  reply.founder ? "; this node holds the founder's key" : "");
        return false;
    }
    while (u->n_shown < ROSTER_LIST_MAX &&
           msg_list_next(&heir_head_row_desc, &reply.heads, &u->shown[u->n_shown]))
        u->n_shown++;
    for (size_t i = 0; i < u->n_shown; i++)
        if (u->shown[i].seq > 0)
            u->heads[u->n_heads++] = (frontier_row){
                .feed = u->shown[i].feed, .seq = u->shown[i].seq, .id = u->shown[i].id};
    return true;
}

static int use(using *u)
{
    member_key next;
    if (!gather(u))
        return 1;
    fputs("Of what the old founder wrote, this is kept. What it wrote later, here or elsewhere, "
          "will not count, nor the\nmembers that it added then; if another node holds more, let "
          "the two meet first.\n\n",
          stderr);
    if (!cmdline_has(u->line, "quiet"))
        print_heads(u->shown, u->n_shown);
    random_fill(u->next_seed, sizeof u->next_seed);
    public_half(u->next_seed, &next);
    print_next(u->next_seed);
    if (!confirmed(u->line))
        return 1;
    int status = replace(&u->n, u->seed, &next, u->heads, u->n_heads);
    if (status == 0)
        print_orphans(&u->n);
    return status;
}

int cmd_heir_use(const cmdline *c)
{
    using *u = calloc(1, sizeof *u);
    int status = 1;
    if (u == NULL)
        return node_fail("out of memory");
    u->line = c;
    if (!read_limits(c, u->limits, &u->n_limits))
        status = cmdline_usage(c, "--heads is FEED:SEQ, at most %u times", LIMITS_MAX);
    else if (node_open(&u->n, cmdline_get(c, "home"), true)) {
        if (is_up(&u->n) && read_key(cmdline_arg(c, 0), u->seed))
            status = use(u);
        node_close(&u->n);
    }
    crypto_wipe(u, sizeof *u);
    free(u);
    return status;
}
