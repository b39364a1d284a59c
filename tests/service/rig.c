#include "tests/service/rig.h"

#include "shell/clock.h"

#include <criterion/criterion.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zmq.h>

static void say_text(buf *why)
{
    fprintf(stderr, "%.*s\n", (int)why->len, (const char *)why->p);
}

static void make_home(rig *r, const dataset_id *dataset)
{
    char path[96], run[128], file[128];
    const char *tmp = getenv("TMPDIR");
    int n = snprintf(path, sizeof path, "%s/rig.XXXXXX", tmp != NULL ? tmp : "/tmp");
    cr_assert(n > 0 && (size_t)n < sizeof path, "TMPDIR is too long for socket paths");
    cr_assert_not_null(mkdtemp(path));
    snprintf(run, sizeof run, "%s/run", path);
    cr_assert_eq(setenv("CAIRN_RUN", run, 1), 0);
    snprintf(file, sizeof file, "%s/dataset", path);
    char id[2 * EVENT_ID_BYTES + 1];
    hex_encode(id, dataset->b, sizeof dataset->b);
    cr_assert_eq(home_write_file(file, bytes_str(id)), ERR_OK);
    buf why;
    buf_init(&why, 512);
    err_t e = home_open(&r->home, path, &why);
    if (e != ERR_OK)
        say_text(&why);
    cr_assert_eq(e, ERR_OK);
    buf_release(&why);
}

void rig_init_of(rig *r, const char *service, const dataset_id *dataset)
{
    char endpoint[128];
    *r = (rig){.service = service};
    make_home(r, dataset);
    cr_assert_eq(bus_init(&r->bus, &r->home.dataset), ERR_OK);
    home_endpoint(&r->home, endpoint, service, "sock");
    r->clnt = clnt_new(&r->bus, service, endpoint);
    cr_assert_not_null(r->clnt);
}

void rig_init(rig *r, const char *service)
{
    dataset_id dataset;
    memset(dataset.b, 0xc1, sizeof dataset.b);
    rig_init_of(r, service, &dataset);
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *at)
{
    (void)st;
    (void)flag;
    (void)at;
    return remove(path);
}

void rig_release(rig *r)
{
    if (r->pid != 0)
        rig_stop(r);
    clnt_free(r->clnt);
    bus_release(&r->bus);
    nftw(r->home.path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

void rig_start(rig *r)
{
    char program[1024];
    const char *bin = getenv("CAIRN_BIN");
    snprintf(program, sizeof program, "%s/cairn-%s", bin != NULL ? bin : CAIRN_BUILD_DIR "/bin",
             r->service);
    r->pid = fork();
    cr_assert(r->pid >= 0);
    if (r->pid > 0)
        return;
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* a test that crashes leaves nothing behind */
    execl(program, program, "--home", r->home.path, (char *)NULL);
    perror(program);
    _exit(127);
}

void rig_kill(rig *r)
{
    cr_assert_eq(kill(r->pid, SIGKILL), 0);
    cr_assert_eq(waitpid(r->pid, NULL, 0), r->pid);
    r->pid = 0;
}

void rig_stop(rig *r)
{
    int status;
    cr_assert_eq(kill(r->pid, SIGTERM), 0);
    cr_assert_eq(waitpid(r->pid, &status, 0), r->pid);
    r->pid = 0;
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0, "it ended with status %d", status);
}

void rig_ask(rig *r, const msg_desc *request, const void *msg, void *reply)
{
    buf text;
    buf_init(&text, 512);
    err_t e = clnt_call(r->clnt, request, msg, RIG_MS, reply, &text);
    cr_assert_eq(e, ERR_OK, "%s: %.*s", request->name, (int)text.len, (const char *)text.p);
    buf_release(&text);
}

void rig_ask_fails(rig *r, const msg_desc *request, const void *msg, err_t expected, buf *text)
{
    _Alignas(max_align_t) uint8_t reply[1024];
    cr_assert(request->reply->size <= sizeof reply);
    err_t e = clnt_call(r->clnt, request, msg, RIG_MS, reply, text);
    cr_assert_eq(e, expected, "%s: %s instead of %s", request->name, err_name(e),
                 err_name(expected));
}

void rig_await(rig *r, const bool *flag)
{
    uint64_t end = clock_mono().ms + RIG_MS;
    while (!*flag) {
        mono_ms next = clnt_pump(r->clnt);
        uint64_t now = clock_mono().ms;
        cr_assert(now < end, "no answer in time");
        if (*flag)
            return;
        zmq_pollitem_t item = {.socket = clnt_socket(r->clnt), .events = ZMQ_POLLIN};
        (void)zmq_poll(&item, 1, next.ms > now ? (long)(next.ms - now) : 0);
    }
}

void rig_path(const rig *r, char out[HOME_PATH_MAX], const char *name)
{
    char below[256];
    snprintf(below, sizeof below, "%s/%s", r->service, name);
    home_path(&r->home, out, below);
}
