/* The radio bridge at the laboratory's modems, with gossip and merge played by the test: what one says another hears, and
 * neither a kill nor a spent hour nor a lost line makes it break the law. */
#include "shell/clock.h"
#include "tests/service/fake_radio.h"
#include "tests/service/rig.h"

#include <criterion/criterion.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define PACE_MS 50 /* between two questions: what the bridge does has no event here */

TestSuite(radio_bridge, .timeout = 120);

/* ---- the ether ---- */

typedef struct {
    pid_t pid;
    FILE *to;
    char dir[64], record[96];
} ether;

static void ether_start(ether *e)
{
    char program[1024], lines[96];
    const char *bin = getenv("CAIRN_BIN");
    int in[2];
    snprintf(program, sizeof program, "%s/cairn-ether", bin != NULL ? bin : CAIRN_BUILD_DIR "/bin");
    snprintf(e->dir, sizeof e->dir, "/tmp/bridge.XXXXXX");
    cr_assert_not_null(mkdtemp(e->dir));
    snprintf(lines, sizeof lines, "%s/lines", e->dir);
    snprintf(e->record, sizeof e->record, "%s/record", e->dir);
    cr_assert_eq(pipe(in), 0);
    e->pid = fork();
    if (e->pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        dup2(in[0], STDIN_FILENO);
        close(in[1]);
        if (freopen("/dev/null", "w", stdout) != NULL)
            execl(program, program, "--region", "eu868", "--preset", "medium", "--stations", "2",
                  "--pty", lines, "--record", e->record, (char *)NULL);
        _exit(127);
    }
    close(in[0]);
    e->to = fdopen(in[1], "w");
    cr_assert_not_null(e->to);
}

static void ether_say(const ether *e, const char *line)
{
    cr_assert(fprintf(e->to, "%s\n", line) > 0 && fflush(e->to) == 0);
}

static void ether_stop(ether *e)
{
    char command[160];
    fclose(e->to);
    kill(e->pid, SIGTERM);
    waitpid(e->pid, NULL, 0);
    snprintf(command, sizeof command, "rm -rf %s", e->dir);
    cr_assert_eq(system(command), 0);
}

/* ---- a bridge with its neighbours ---- */

typedef struct {
    rig r;
    fake_radio *around;
    char device[96];
} station;

/* What a process is given is in the environment, which the next station's replaces. */
static void station_start(station *s)
{
    cr_assert_eq(setenv("CAIRN_RUN", s->r.home.run, 1), 0);
    cr_assert_eq(setenv("CAIRN_RADIO_DEVICE", s->device, 1), 0);
    cr_assert_eq(setenv("CAIRN_RADIO_REGION", "eu868", 1), 0);
    rig_start(&s->r);
}

static void station_make(station *s, const ether *e, member_no number)
{
    rig_init(&s->r, "radio-bridge");
    snprintf(s->device, sizeof s->device, "%s/lines/station-%u", e->dir, number);
    s->around = fake_radio_new(&s->r.home, number);
    fake_radio_key(s->around, 0, 0x5a, 1);
    station_start(s);
}

static void station_end(station *s)
{
    rig_release(&s->r);
    fake_radio_free(&s->around);
}

static radio_state_reply state_of(station *s)
{
    radio_state_reply r;
    rig_ask(&s->r, &radio_state_request_desc, &(radio_state_request){0}, &r);
    return r;
}

static void await_state(station *s, const char *what, bool (*is)(const radio_state_reply *))
{
    uint64_t end = clock_mono().ms + 2 * RIG_MS;
    for (;;) {
        radio_state_reply r = state_of(s);
        if (is(&r))
            return;
        cr_assert(clock_mono().ms < end, "not %s: %.*s, %.*s", what, (int)r.state.len,
                  (const char *)r.state.p, (int)r.problem.len, (const char *)r.problem.p);
        (void)poll(NULL, 0, PACE_MS);
    }
}

static bool is_well(const radio_state_reply *r)
{
    return bytes_is(r->state, "ready") && r->problem.len == 0;
}

static bool is_gone(const radio_state_reply *r)
{
    return bytes_is(r->state, "closed") && r->problem.len > 0;
}

static bool has_spent(const radio_state_reply *r)
{
    return r->spent_us > 0;
}

static bool must_wait(const radio_state_reply *r)
{
    return r->wait_ms > 0 && r->wait_ms != UINT64_MAX;
}

static bool has_replayed(const radio_state_reply *r)
{
    return r->replayed > 0;
}

static bool has_strange(const radio_state_reply *r)
{
    return r->strange > 0;
}

/* ---- saying and hearing ---- */

Test(radio_bridge, what_one_says_another_hears)
{
    ether e;
    station a, b;
    fake_heard heard;
    radio_sent_request sent;
    ether_start(&e);
    station_make(&a, &e, 1);
    station_make(&b, &e, 2);
    await_state(&a, "on the air", is_well);
    await_state(&b, "on the air", is_well);
    fake_radio_say(a.around, 0, 'r', 100, 1);
    fake_radio_heard(b.around, 1, &heard);
    cr_assert(heard.m.kind == 0 && heard.m.station == 1 && heard.m.fresh);
    cr_assert(heard.len == 100 && heard.plain[0] == 'r' && heard.plain[99] == 'r');
    cr_assert(heard.m.rssi_dbm < -50 && heard.m.rssi_dbm > -130);
    fake_radio_sent(a.around, 1, &sent);
    cr_assert(sent.ticket == 1 && sent.outcome <= 1 && sent.airtime_us > 200000);
    cr_assert_geq(state_of(&a).spent_us, sent.airtime_us);
    fake_radio_say(b.around, 9, 'w', 20, 1);
    fake_radio_heard(a.around, 1, &heard);
    cr_assert(heard.m.kind == 9 && heard.m.station == 2 && heard.m.fresh);

    radio_log_reply log;
    radio_log_row row;
    bool out = false, in = false;
    rig_ask(&a.r, &radio_log_request_desc, &(radio_log_request){0}, &log);
    while (msg_list_next(&radio_log_row_desc, &log.rows, &row)) {
        out |= bytes_is(row.what, "sent") && row.bytes == 114 && row.airtime_us == sent.airtime_us;
        in |= bytes_is(row.what, "heard") && row.kind == 9 && row.station == 2;
    }
    cr_assert(out && in);
    station_end(&a);
    station_end(&b);
    ether_stop(&e);
}

Test(radio_bridge, what_was_heard_before_is_not_fresh_even_after_a_kill)
{
    ether e;
    station a, b;
    fake_heard heard;
    char play[128];
    ether_start(&e);
    station_make(&a, &e, 1);
    station_make(&b, &e, 2);
    await_state(&a, "on the air", is_well);
    await_state(&b, "on the air", is_well);
    fake_radio_say(a.around, 9, 'w', 30, 1);
    fake_radio_heard(b.around, 1, &heard);
    cr_assert(heard.m.fresh);
    rig_kill(&b.r);
    station_start(&b);
    await_state(&b, "on the air again", is_well);
    snprintf(play, sizeof play, "play %s", e.record);
    ether_say(&e, play);
    await_state(&b, "hearing it again", has_replayed);
    fake_radio_heard(b.around, 2, &heard);
    cr_assert(!heard.m.fresh && heard.m.kind == 9 && heard.len == 30);
    station_end(&a);
    station_end(&b);
    ether_stop(&e);
}

Test(radio_bridge, under_another_key_it_is_a_strangers)
{
    ether e;
    station a, b;
    radio_sent_request sent;
    ether_start(&e);
    station_make(&a, &e, 1);
    rig_init(&b.r, "radio-bridge");
    snprintf(b.device, sizeof b.device, "%s/lines/station-2", e.dir);
    b.around = fake_radio_new(&b.r.home, 2);
    fake_radio_key(b.around, 0, 0x77, 1);
    station_start(&b);
    await_state(&a, "on the air", is_well);
    await_state(&b, "on the air", is_well);
    fake_radio_say(a.around, 0, 's', 50, 1);
    fake_radio_sent(a.around, 1, &sent);
    await_state(&b, "hearing a stranger", has_strange);
    cr_assert_eq(fake_radio_heard_count(b.around), 0);
    station_end(&a);
    station_end(&b);
    ether_stop(&e);
}

/* ---- the law ---- */

/* The modem's receiver hangs, so that it waits for ever with the frame: charged, and not sent. */
Test(radio_bridge, what_was_charged_is_not_forgotten_by_a_kill)
{
    ether e;
    station a;
    ether_start(&e);
    station_make(&a, &e, 1);
    await_state(&a, "on the air", is_well);
    cr_assert_eq(state_of(&a).spent_us, 0);
    ether_say(&e, "do 1 dcd 1");
    fake_radio_say(a.around, 0, 'c', 100, 1);
    await_state(&a, "charged", has_spent);
    uint64_t charged = state_of(&a).spent_us;
    cr_assert_eq(fake_radio_sent_count(a.around), 0, "it is under way");
    rig_kill(&a.r);
    station_start(&a);
    cr_assert_geq(state_of(&a).spent_us, charged);
    await_state(&a, "on the air again", is_well);
    cr_assert_geq(state_of(&a).spent_us, charged);
    radio_airtime_reply book;
    airtime_row row;
    uint64_t sum = 0;
    rig_ask(&a.r, &radio_airtime_request_desc, &(radio_airtime_request){0}, &book);
    while (msg_list_next(&airtime_row_desc, &book.rows, &row))
        sum += row.airtime_us;
    cr_assert(sum == charged && book.spent_us == charged);
    station_end(&a);
    ether_stop(&e);
}

/* Band K has 3.6 s in an hour. */
Test(radio_bridge, a_spent_hour_stops_it)
{
    ether e;
    station a;
    radio_sent_request sent;
    cr_assert_eq(setenv("CAIRN_RADIO_HZ", "863500000", 1), 0);
    ether_start(&e);
    station_make(&a, &e, 1);
    await_state(&a, "on the air", is_well);
    cr_assert_eq(state_of(&a).hour_us, 3600000);
    fake_radio_say(a.around, 0, 'h', RADIO_PLAIN_MAX_BYTES, 100);
    await_state(&a, "stopped", must_wait);
    fake_radio_sent(a.around, 4, &sent);
    radio_state_reply r = state_of(&a);
    cr_assert(r.spent_us == 4 * sent.airtime_us && r.spent_us <= r.hour_us);
    cr_assert_gt(r.wait_ms, 3000000);
    cr_assert_eq(fake_radio_sent_count(a.around), 4, "it was not even asked for a fifth");
    rig_kill(&a.r);
    station_start(&a);
    await_state(&a, "on the air again", is_well);
    await_state(&a, "still stopped", must_wait);
    station_end(&a);
    ether_stop(&e);
    unsetenv("CAIRN_RADIO_HZ");
}

/* ---- neighbours and lines that are not there ---- */

Test(radio_bridge, a_line_that_goes_and_comes_back)
{
    ether e;
    station a;
    radio_sent_request sent;
    health_reply h;
    ether_start(&e);
    station_make(&a, &e, 1);
    await_state(&a, "on the air", is_well);
    ether_say(&e, "unplug 1");
    await_state(&a, "gone", is_gone);
    rig_ask(&a.r, &health_request_desc, &(health_request){0}, &h);
    cr_assert(!h.ready && h.state.len > 0);
    ether_say(&e, "plug 1");
    await_state(&a, "back", is_well);
    fake_radio_say(a.around, 0, 'b', 40, 1);
    fake_radio_sent(a.around, 1, &sent);
    cr_assert_leq(sent.outcome, 1);
    station_end(&a);
    ether_stop(&e);
}

Test(radio_bridge, without_a_key_it_says_so_and_sends_nothing)
{
    ether e;
    station a;
    radio_state_reply r;
    radio_sent_request sent;
    ether_start(&e);
    rig_init(&a.r, "radio-bridge");
    snprintf(a.device, sizeof a.device, "%s/lines/station-1", e.dir);
    a.around = fake_radio_new(&a.r.home, 1);
    fake_radio_say(a.around, 0, 'k', 40, 1);
    station_start(&a);
    uint64_t end = clock_mono().ms + RIG_MS;
    do {
        (void)poll(NULL, 0, PACE_MS);
        r = state_of(&a);
        cr_assert(clock_mono().ms < end);
    } while (!bytes_is(r.problem, "no radio key for this node yet: cairn radio key, at the "
                                  "founder's"));
    cr_assert(!r.has_key && r.spent_us == 0 && fake_radio_sent_count(a.around) == 0);
    fake_radio_key(a.around, 3, 0x11, 1);
    fake_radio_sent(a.around, 1, &sent);
    cr_assert(sent.outcome <= 1 && state_of(&a).epoch == 3);
    station_end(&a);
    ether_stop(&e);
}
