/* invite, member ls, member remove, member readd. */
#include "cli/cmd.h"
#include "cli/out.h"
#include "pure/roster_event.h"
#include "shell/clock.h"

#include <qrencode.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* ---- invite ---- */

/* Two rows of modules per line of text, in half blocks, with the quiet zone scanners need. */
static void print_qr(const char *text)
{
    static const char *const blocks[] = {"\xe2\x96\x88", "\xe2\x96\x80", "\xe2\x96\x84",
                                         " "}; /* full upper lower none */
    QRcode *qr = QRcode_encodeString(text, 0, QR_ECLEVEL_L, QR_MODE_8, 0);
    if (qr == NULL)
        return;
    for (int y = -2; y < qr->width + 2; y += 2) {
        for (int x = -2; x < qr->width + 2; x++) {
            unsigned dark = 0;
            for (int half = 0; half < 2; half++) {
                int row = y + half;
                bool inside = x >= 0 && x < qr->width && row >= 0 && row < qr->width;
                if (inside && (qr->data[row * qr->width + x] & 1) != 0)
                    dark |= half == 0 ? 2u : 1u;
            }
            fputs(blocks[dark], stderr); /* light modules are drawn: terminals are dark */
        }
        fputc('\n', stderr);
    }
    QRcode_free(qr);
}

static void read_invite(const cmdline *c, invite_request *req, address_row addresses[16])
{
    roster_role role = ROSTER_ROLE_FIELD;
    size_t n = 0;
    (void)roster_role_of(bytes_str(cmdline_get(c, "role")), &role);
    *req = (invite_request){.name = bytes_str(cmdline_arg(c, 0)),
                            .role = (uint8_t)role,
                            .uses = (uint32_t)cmdline_number(c, "uses"),
                            .valid_ms = cmdline_duration_ms(c, "expires"),
                            .confirm = cmdline_has(c, "confirm")};
    for (const char *a; n < 16 && (a = cmdline_nth(c, "address", n)) != NULL; n++)
        addresses[n] = (address_row){.address = bytes_str(a)};
    req->addresses = MSG_LIST_OF(addresses, n);
}

static void print_invite(const cmdline *c, const invite_reply *r)
{
    char text[TOKEN_TEXT_MAX_BYTES + 1], when[32];
    snprintf(text, sizeof text, "%.*s", (int)r->token.len, (const char *)r->token.p);
    clock_text(when, r->expires_ms, false);
    if (cmdline_has(c, "json")) {
        buf json;
        buf_init(&json, 65536);
        out_open(&json);
        out_cstr(&json, "token", text);
        out_time(&json, "expires", r->expires_ms);
        out_close(&json);
        buf_release(&json);
        return;
    }
    printf("%s\n", text);
    fflush(stdout);
    if (isatty(STDERR_FILENO))
        print_qr(text);
    fprintf(
        stderr,
        "Hand it over in private; it is valid until %s. On the other machine: cairn join TOKEN\n",
        when);
}

/* With --confirm, somebody here compares the codes on both screens. */
static int confirm_joins(node *n)
{
    pending_request req = {.since_ms = clock_wall().ms, .wait_ms = 5000};
    fprintf(stderr, "Waiting for the joiner; Ctrl-C ends the waiting, not the invitation.\n");
    for (;;) {
        pending_reply reply;
        pending_row row;
        if (node_ask_pending(n, &req, &reply) != ERR_OK)
            return 1;
        while (msg_list_next(&pending_row_desc, &reply.joins, &row)) {
            char line[16], code[17];
            if (!bytes_is(row.state, "waiting"))
                continue;
            snprintf(code, sizeof code, "%.*s", (int)row.code.len, (const char *)row.code.p);
            fprintf(stderr, "%.*s asks to join. Does its screen show %s? [y/N] ", (int)row.name.len,
                    (const char *)row.name.p, code);
            bool yes =
                fgets(line, sizeof line, stdin) != NULL && (line[0] == 'y' || line[0] == 'Y');
            confirm_request answer = {.code = bytes_str(code), .accept = yes};
            return node_ask_confirm(n, &answer, NULL) != ERR_OK || !yes;
        }
    }
}

int cmd_invite(const cmdline *c)
{
    node n;
    invite_request req;
    invite_reply reply;
    address_row addresses[16];
    int status = 0;
    if (!cmdline_is_name(cmdline_arg(c, 0), NAME_MAX_BYTES))
        return cmdline_usage(c, "NAME is one line of 1 to %u bytes", NAME_MAX_BYTES);
    read_invite(c, &req, addresses);
    if (req.valid_ms < 1000 || req.valid_ms > 366ull * 86400 * 1000)
        return cmdline_usage(c, "--expires is a time from 1s to 366d");
    if (!node_open(&n, cmdline_get(c, "home"), true))
        return 1;
    if (node_ask_invite(&n, &req, &reply) != ERR_OK) {
        status = 1;
    } else {
        print_invite(c, &reply);
        if (req.confirm)
            status = confirm_joins(&n);
    }
    node_close(&n);
    return status;
}

/* ---- member ls ---- */

static const char *state_word(const member_row *m)
{
    return m->state == 1 ? "removed" : m->state == 2 ? "orphaned" : "";
}

static uint64_t heard_of(node *n, member_no number)
{
    peers_reply reply;
    peer_row p;
    uint64_t heard = 0;
    if (node_peek_peers(n, 2000, &(peers_request){0}, &reply))
        while (msg_list_next(&peer_row_desc, &reply.peers, &p))
            if (p.member == number && p.heard_ms > heard)
                heard = p.heard_ms;
    return heard;
}

/* A successor's machine is there twice: as a member, and as the founder with the same transport key. */
static bool is_own(const members_reply *r, const member_row *m)
{
    msg_list list = r->members;
    member_row own;
    if (m->number == r->self)
        return true;
    while (m->number == 1 && r->founder && msg_list_next(&member_row_desc, &list, &own))
        if (own.number == r->self &&
            memcmp(own.transport.b, m->transport.b, sizeof own.transport.b) == 0)
            return true;
    return false;
}

static void member_json(buf *json, const member_row *m, uint64_t heard, bool self)
{
    out_open(json);
    out_u64(json, "number", m->number);
    out_str(json, "name", m->name);
    out_cstr(json, "role", roster_role_name((roster_role)m->role));
    out_cstr(json, "state", m->state == 0 ? "member" : state_word(m));
    out_bool(json, "self", self);
    out_u64(json, "events", m->events);
    out_time(json, "last_event", m->last_wall_ms);
    out_time(json, "last_heard", heard);
    out_u64(json, "added_by", m->added_by);
    out_hex(json, "key", m->key.b, sizeof m->key.b);
    out_close(json);
}

static void member_cells(out_table *t, const member_row *m, uint64_t heard, bool self, uint64_t now)
{
    char number[16], name[NAME_MAX_BYTES + 16], events[24], last[32], ago[32];
    snprintf(number, sizeof number, "%u", m->number);
    snprintf(name, sizeof name, "%.*s%s", (int)m->name.len, (const char *)m->name.p,
             self ? " (this node)" : "");
    snprintf(events, sizeof events, "%llu", (unsigned long long)m->events);
    out_ago(last, m->last_wall_ms, now);
    out_ago(ago, heard, now);
    out_table_row(t, (const char *const[]){number, name, roster_role_name((roster_role)m->role),
                                           state_word(m), events, last, self ? "-" : ago, NULL});
}

static void print_hints(unsigned founders, unsigned orphans, bool founder)
{
    if (founders > 1)
        fputs("There are several founders: people used copies of one heir key without hearing of "
              "each "
              "other. What all of\nthem kept of the one before is kept, and each may do what a "
              "founder "
              "may.\n",
              stderr);
    if (orphans > 0)
        fprintf(stderr,
                "Orphaned members lost whoever had added them; %s: cairn member readd --all\n",
                founder ? "to add them again" : "the founder can add them again");
}

int cmd_member_ls(const cmdline *c)
{
    static const char *const columns[] = {">NO",     "NAME",       "ROLE",       "STATE",
                                          ">EVENTS", "LAST EVENT", "LAST HEARD", NULL};
    node n;
    members_reply reply;
    member_row m;
    buf json;
    if (!node_open(&n, cmdline_get(c, "home"), true))
        return 1;
    if (node_ask_members(&n, &(members_request){0}, &reply) != ERR_OK) {
        node_close(&n);
        return 1;
    }
    unsigned orphans = 0, founders = 0;
    msg_list rows = reply.members;
    buf_init(&json, 65536);
    out_table *t = cmdline_has(c, "json") ? NULL : out_table_new(columns);
    while (msg_list_next(&member_row_desc, &rows, &m)) {
        uint64_t heard = heard_of(&n, m.number);
        orphans += m.state == 2;
        founders += m.number == 1 && m.state == 0;
        if (t == NULL)
            member_json(&json, &m, heard, is_own(&reply, &m));
        else
            member_cells(t, &m, heard, is_own(&reply, &m), clock_wall().ms);
    }
    out_table_print(t);
    if (t != NULL && !cmdline_has(c, "quiet"))
        print_hints(founders, orphans, reply.founder);
    buf_release(&json);
    node_close(&n);
    return 0;
}

/* ---- member remove ---- */

/* By name or number; a name that several members share is no answer. */
static member_no find_member(node *n, const char *who)
{
    members_reply reply;
    member_row m;
    member_no number = 0;
    unsigned long given = strtoul(who, NULL, 10);
    if (node_ask_members(n, &(members_request){0}, &reply) != ERR_OK)
        return 0;
    while (msg_list_next(&member_row_desc, &reply.members, &m)) {
        if (!bytes_is(m.name, who) && m.number != given)
            continue;
        if (number != 0 && number != m.number) {
            node_fail("several members are called %s: give the number (cairn member ls)", who);
            return 0;
        }
        number = m.number;
    }
    if (number == 0)
        node_fail("there is no member %s: see cairn member ls", who);
    return number;
}

int cmd_member_remove(const cmdline *c)
{
    node n;
    int status = 1;
    if (!node_open(&n, cmdline_get(c, "home"), true))
        return 1;
    member_no number = find_member(&n, cmdline_arg(c, 0));
    if (number == 1) {
        node_fail("the founder cannot be removed");
    } else if (number != 0) {
        member_remove_request req = {.number = number};
        status = node_ask_member_remove(&n, &req, NULL) == ERR_OK ? 0 : 1;
        if (status == 0 && !cmdline_has(c, "quiet"))
            fprintf(stderr,
                    "Removed member %u: what it wrote until now stays, what it writes from now on "
                    "counts "
                    "nowhere. Nodes hear of it when they meet.\n",
                    number);
    }
    node_close(&n);
    return status;
}

/* ---- member readd ---- */

static bool readd(node *n, member_no number, bool quiet)
{
    member_readd_request req = {.number = number};
    if (node_ask_member_readd(n, &req, NULL) != ERR_OK)
        return false;
    if (!quiet)
        fprintf(stderr, "Member %u belongs again.\n", number);
    return true;
}

/* The numbers first: each answer ends the life of the one before. */
static int readd_all(node *n, bool quiet)
{
    members_reply reply;
    member_row m;
    size_t count = 0;
    int status = 0;
    if (node_ask_members(n, &(members_request){0}, &reply) != ERR_OK)
        return 1;
    member_no *orphans = calloc(reply.members.n + 1, sizeof *orphans);
    while (orphans != NULL && msg_list_next(&member_row_desc, &reply.members, &m))
        if (m.state == 2)
            orphans[count++] = m.number;
    for (size_t i = 0; i < count; i++)
        status |= !readd(n, orphans[i], quiet);
    if (count == 0 && !quiet)
        fputs("Nobody lost whoever had added them.\n", stderr);
    free(orphans);
    return status;
}

int cmd_member_readd(const cmdline *c)
{
    node n;
    int status = 0;
    bool all = cmdline_has(c, "all"), quiet = cmdline_has(c, "quiet");
    if (all == (cmdline_arg_count(c) > 0))
        return cmdline_usage(c, "member readd needs names, or --all");
    if (!node_open(&n, cmdline_get(c, "home"), true))
        return 1;
    if (all)
        status = readd_all(&n, quiet);
    for (size_t i = 0; i < cmdline_arg_count(c); i++) {
        member_no number = find_member(&n, cmdline_arg(c, i));
        status |= number == 0 || !readd(&n, number, quiet);
    }
    node_close(&n);
    return status;
}
