/* The books on disk: HOME/radio-bridge/airtime and heard. A charge is synced before the modem gets the frame; what could
 * not be written is not sent. */
#include "radio-bridge/bridge.h"

#include "shell/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#define HEARD_FILE_MAX_BYTES (2u * REPLAY_TAGS_MAX * REPLAY_RECORD_BYTES)

/* ---- time ---- */

/* Vouched for: a time service disciplines it, and it has not been stepped since. Off the grid nobody does, and then what
 * was recorded before a boot counts as spent now: safe, and an hour long. */
static wall_ms vouched_wall(bridge *b, mono_ms boot)
{
    wall_ms wall = clock_wall();
    if (wall.ms < CLOCK_BUILD_MS || wall.ms < boot.ms || !clock_synced(LEDGER_WALL_ERROR_MS / 2))
        return (wall_ms){0};
    uint64_t offset = wall.ms - boot.ms;
    if (b->wall_offset == 0)
        b->wall_offset = offset;
    uint64_t step = offset > b->wall_offset ? offset - b->wall_offset : b->wall_offset - offset;
    return step < LEDGER_WALL_ERROR_MS / 2 ? wall : (wall_ms){0};
}

ledger_now bridge_now(bridge *b)
{
    mono_ms boot = clock_boot();
    return (ledger_now){.boot = b->boot, .mono = boot, .wall = vouched_wall(b, boot)};
}

/* ---- files ---- */

static err_t write_all(int fd, bytes in)
{
    while (in.len > 0) {
        ssize_t n = write(fd, in.p, in.len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return errno == ENOSPC || errno == EDQUOT ? ERR_FULL : ERR_IO;
        in = bytes_of(in.p + n, in.len - (size_t)n);
    }
    return ERR_OK;
}

static void close_file(bridge_file *f)
{
    if (f->fd >= 0)
        close(f->fd);
    f->fd = -1;
}

/* The whole file at once, and open for what follows. */
static err_t replace_file(bridge_file *f, bytes content)
{
    close_file(f);
    f->broken = true;
    TRY(home_write_file(f->path, content));
    f->fd = open(f->path, O_WRONLY | O_APPEND | O_CLOEXEC);
    if (f->fd < 0)
        return ERR_IO;
    f->len = content.len;
    f->broken = false;
    return ERR_OK;
}

static err_t append_file(bridge_file *f, bytes in, bool sync)
{
    if (in.len == 0)
        return ERR_OK;
    err_t e = f->fd < 0 ? ERR_IO : write_all(f->fd, in);
    if (e == ERR_OK && sync && fdatasync(f->fd) != 0)
        e = ERR_IO;
    f->broken |= e != ERR_OK;
    f->len += in.len;
    return e;
}

static err_t read_file(bridge_file *f, const char *dir, const char *name, size_t max, buf *out)
{
    *f = (bridge_file){.fd = -1};
    int n = snprintf(f->path, sizeof f->path, "%s/%s", dir, name);
    buf_init(out, max);
    if (n < 0 || (size_t)n >= sizeof f->path)
        return ERR_TOO_LARGE;
    err_t e = home_read_file(f->path, out);
    return e == ERR_NOT_FOUND ? ERR_OK : e;
}

/* ---- the ledger ---- */

static err_t renew_airtime(bridge *b)
{
    ledger_now now = bridge_now(b);
    buf all;
    buf_init(&all, 2 * LEDGER_FILE_MAX_BYTES);
    ledger_snapshot(b->ledger, &now, &all);
    err_t e = all.err != ERR_OK ? all.err : replace_file(&b->airtime_file, buf_view(&all));
    buf_release(&all);
    return e;
}

static err_t note_books(bridge *b, err_t e)
{
    if (e != ERR_OK)
        snprintf(b->books_why, sizeof b->books_why,
                 "nothing is sent, for the airtime cannot be written down: %s", err_text(e));
    else
        b->books_why[0] = '\0';
    return e;
}

static err_t charge(bridge *b, uint64_t airtime_us, mono_ms *earliest, buf *out)
{
    ledger_now now = bridge_now(b);
    bridge_file *f = &b->airtime_file;
    if (f->broken || f->len > LEDGER_FILE_MAX_BYTES)
        TRY(note_books(b, renew_airtime(b)));
    TRY(ledger_charge(b->ledger, b->plan.band, airtime_us, &now, earliest, out));
    err_t e = out->err != ERR_OK ? out->err : append_file(f, buf_view(out), true);
    if (e != ERR_OK)
        bridge_settle(b); /* it is not sent, but goes on counting: nobody knows what the disk has */
    return note_books(b, e);
}

err_t bridge_charge(bridge *b, uint64_t airtime_us, mono_ms *earliest)
{
    buf out;
    buf_init(&out, 4096);
    *earliest = (mono_ms){0};
    err_t e = charge(b, airtime_us, earliest, &out);
    buf_release(&out);
    return e;
}

void bridge_settle(bridge *b)
{
    ledger_now now = bridge_now(b);
    buf out;
    buf_init(&out, 4096);
    ledger_end(b->ledger, &now, &out);
    (void)!append_file(&b->airtime_file, buf_view(&out), false); /* without it, it counts longer */
    buf_release(&out);
}

static err_t open_airtime(bridge *b, buf *why)
{
    buf file;
    ledger_now now = bridge_now(b);
    err_t e =
        read_file(&b->airtime_file, service_dir(b->s), "airtime", 2 * LEDGER_FILE_MAX_BYTES, &file);
    if (e == ERR_OK && (b->ledger = ledger_new(buf_view(&file), &now)) == NULL)
        e = ERR_NO_MEMORY;
    if (e == ERR_OK)
        e = renew_airtime(b);
    buf_release(&file);
    if (e != ERR_OK)
        buf_addf(why, "%s: %s; without it nothing may be sent", b->airtime_file.path, err_text(e));
    return e;
}

/* ---- the replay filter ---- */

static err_t renew_heard(bridge *b)
{
    buf all;
    buf_init(&all, HEARD_FILE_MAX_BYTES);
    replay_snapshot(b->replay, &all);
    err_t e = all.err != ERR_OK ? all.err : replace_file(&b->heard_file, buf_view(&all));
    buf_release(&all);
    return e;
}

bool bridge_is_fresh(bridge *b, const radio_header *h, const uint8_t *tag)
{
    buf out;
    buf_init(&out, 4096);
    bool fresh = replay_take(b->replay, h, tag, &out);
    err_t e = append_file(&b->heard_file, buf_view(&out), true);
    buf_release(&out);
    if (e == ERR_OK && b->heard_file.len > HEARD_FILE_MAX_BYTES / 2 + REPLAY_TAGS_MAX)
        e = renew_heard(b);
    if (e != ERR_OK && h->kind >= RADIO_KIND_CONTROL) {
        log_warn("what was heard cannot be written down: %s", err_text(e));
        (void)!renew_heard(b);
    }
    return fresh;
}

void bridge_forget(bridge *b)
{
    if (b->n_keys < BRIDGE_KEYS)
        return;
    replay_keep(b->replay, b->keys[0].epoch, b->keys[1].epoch);
    (void)!renew_heard(b); /* it only grows */
}

static err_t open_heard(bridge *b, buf *why)
{
    buf file;
    err_t e =
        read_file(&b->heard_file, service_dir(b->s), "heard", HEARD_FILE_MAX_BYTES * 2, &file);
    if (e == ERR_OK && (b->replay = replay_new(buf_view(&file))) == NULL)
        e = ERR_NO_MEMORY;
    if (e == ERR_OK)
        e = renew_heard(b);
    buf_release(&file);
    if (e != ERR_OK)
        buf_addf(why, "%s: %s", b->heard_file.path, err_text(e));
    return e;
}

/* ---- both ---- */

err_t bridge_files_open(bridge *b, buf *why)
{
    b->airtime_file.fd = b->heard_file.fd = -1;
    b->boot = clock_boot_id();
    if (b->boot == 0)
        b->boot = random_u64(); /* then every start is a boot of its own */
    TRY(open_airtime(b, why));
    return open_heard(b, why);
}

void bridge_files_close(bridge *b)
{
    close_file(&b->airtime_file);
    close_file(&b->heard_file);
    ledger_free(b->ledger);
    replay_free(b->replay);
}
