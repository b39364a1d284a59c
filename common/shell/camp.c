#include "shell/camp.h"

#include "shell/service_impl.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <sys/inotify.h>
#include <sysexits.h>
#include <unistd.h>

#define HEX_MAX_BYTES 128u

static void run_path(const cairn_home *h, char out[HOME_PATH_MAX], const char *name)
{
    snprintf(out, HOME_PATH_MAX, "%s/%s", h->run, name);
}

err_t camp_put(const cairn_home *h, const char *name, bytes content)
{
    char path[HOME_PATH_MAX];
    run_path(h, path, name);
    return home_write_file(path, content);
}

err_t camp_get(const cairn_home *h, const char *name, buf *out)
{
    char path[HOME_PATH_MAX];
    run_path(h, path, name);
    return home_read_file(path, out);
}

err_t camp_put_hex(const cairn_home *h, const char *name, const void *p, size_t len)
{
    char hex[2 * HEX_MAX_BYTES + 1];
    if (len > HEX_MAX_BYTES)
        return ERR_TOO_LARGE;
    hex_encode(hex, p, len);
    return camp_put(h, name, bytes_of(hex, 2 * len));
}

err_t camp_get_hex(const cairn_home *h, const char *name, void *out, size_t len)
{
    buf text;
    buf_init(&text, 4 * HEX_MAX_BYTES);
    err_t e = camp_get(h, name, &text);
    if (e == ERR_OK && !hex_decode(out, len, (const char *)text.p, text.len))
        e = ERR_INVALID;
    buf_release(&text);
    return e;
}

/* ---- the dataset of a service that has a volume of its own ---- */

static err_t differs(const service *s, const dataset_id *own, const dataset_id *camp, buf *why)
{
    char a[9], b[9];
    hex_encode(a, own->b, 4);
    hex_encode(b, camp->b, 4);
    buf_addf(
        why,
        "the volume at %s belongs to dataset %s…, but the other processes of this camp to %s…: "
        "give this process the volume of its own camp, or start all of them with empty ones",
        s->dir, a, b);
    return ERR_DATASET;
}

/* Several may do this at once, so each by a file of its own. */
static err_t publish(const service *s, const char *path, bytes text)
{
    char own[HOME_PATH_MAX];
    run_path(&s->home, own, s->def->name);
    TRY(home_write_file(own, text));
    return rename(own, path) == 0 ? ERR_OK : err_of_errno(errno);
}

/* ERR_NOT_FOUND: neither the volume nor the camp has one. */
static err_t look(service *s, buf *why)
{
    char own_path[HOME_PATH_MAX], camp_path[HOME_PATH_MAX];
    dataset_id own, camp;
    home_path(&s->home, own_path, s->home.dataset_file);
    run_path(&s->home, camp_path, "dataset");
    err_t e = home_read_dataset(own_path, &own, why), f = home_read_dataset(camp_path, &camp, why);
    if ((e != ERR_OK && e != ERR_NOT_FOUND) || (f != ERR_OK && f != ERR_NOT_FOUND))
        return e != ERR_OK && e != ERR_NOT_FOUND ? e : f;
    if (e == ERR_OK && f == ERR_OK && memcmp(&own, &camp, sizeof own) != 0)
        return differs(s, &own, &camp, why);
    if (e != ERR_OK && f != ERR_OK)
        return ERR_NOT_FOUND;
    s->home.dataset = e == ERR_OK ? own : camp;
    s->home.has_dataset = true;
    char hex[2 * EVENT_ID_BYTES + 1];
    hex_encode(hex, s->home.dataset.b, EVENT_ID_BYTES);
    bytes text = bytes_of(hex, 2 * EVENT_ID_BYTES);
    if (e != ERR_OK && (e = home_write_file(own_path, text)) != ERR_OK)
        buf_addf(why, "cannot write %s: %s", own_path, err_text(e));
    if (e == ERR_OK && f != ERR_OK && (e = publish(s, camp_path, text)) != ERR_OK)
        buf_addf(why, "cannot write %s: %s", camp_path, err_text(e));
    return e;
}

/* False: a signal came. */
static bool something_new(const service *s, int watch)
{
    struct pollfd fds[2] = {{.fd = s->signal_fd, .events = POLLIN},
                            {.fd = watch, .events = POLLIN}};
    char events[4096];
    while (poll(fds, 2, -1) < 0 && errno == EINTR)
        ;
    if ((fds[1].revents & POLLIN) != 0 && read(watch, events, sizeof events) < 0 && errno != EAGAIN)
        log_warn("cannot read what changed in %s: %s", s->home.run, strerror(errno));
    return (fds[0].revents & POLLIN) == 0;
}

/* ERR_STOPPING: a signal ended the waiting. */
static err_t wait_for_dataset(service *s, int watch, buf *why)
{
    for (bool said = false;;) {
        err_t e = s->def->enrol != NULL ? s->def->enrol(s, why) : ERR_OK;
        if (e == ERR_OK)
            e = look(s, why);
        if (e != ERR_NOT_FOUND)
            return e;
        if (!said)
            log_info("waiting for the camp's dataset in %s", s->home.run);
        said = true;
        if (!something_new(s, watch))
            return ERR_STOPPING;
    }
}

static err_t prepare(service *s, buf *why)
{
    if (s->home.run[0] == '\0') {
        buf_add_str(why, "camp.containers needs CAIRN_RUN: the directory where the processes meet");
        return ERR_INVALID;
    }
    snprintf(s->home.dataset_file, sizeof s->home.dataset_file, "%s/dataset", s->def->name);
    err_t e = home_make_dir(service_dir(s));
    if (e == ERR_OK)
        e = service_open_signals(s);
    if (e != ERR_OK) {
        buf_addf(why, "cannot use %s: %s", s->dir, err_text(e));
        return e;
    }
    return service_take_lock(s, why);
}

static err_t enrol(service *s, buf *why)
{
    char own[HOME_PATH_MAX];
    TRY(prepare(s, why));
    home_path(&s->home, own, s->home.dataset_file);
    if (access(own, F_OK) == 0)
        return look(s, why);
    err_t e = ERR_IO;
    int watch = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (watch < 0 || inotify_add_watch(watch, s->home.run, IN_MOVED_TO) < 0)
        buf_addf(why, "cannot watch %s: %s", s->home.run, strerror(errno));
    else
        e = wait_for_dataset(s, watch, why);
    if (watch >= 0)
        close(watch);
    return e;
}

int service_enrol(service *s, buf *why)
{
    s->home.has_dataset = false;
    err_t e = enrol(s, why);
    if (e == ERR_STOPPING)
        return 0;
    if (e != ERR_OK && why->len == 0)
        buf_add_str(why, err_text(e));
    if (e == ERR_OK)
        return -1;
    return service_complain(s, e == ERR_LOCKED ? EX_TEMPFAIL : EX_CONFIG, why);
}
