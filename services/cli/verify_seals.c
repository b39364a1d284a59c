#include "cli/verify_seals.h"

#include "pure/chain.h"

#include <pthread.h>
#include <stdlib.h>

#define THREADS_MAX 64u
#define BATCH       32u  /* jobs that go over at a time: a check takes far longer than the lock */
#define QUEUED      128u /* batches */

typedef struct {
    size_t n;
    seal_job jobs[BATCH];
} batch;

struct verify_seals {
    dataset_id dataset;
    pthread_mutex_t lock;
    pthread_cond_t more, room; /* a batch is queued; one was taken or finished */
    batch queue[QUEUED];
    size_t first, queued, working;
    bool closing;
    batch filling; /* the caller's, without the lock */
    seal_tally tally;
    pthread_t threads[THREADS_MAX];
    size_t n_threads;
};

static void check_batch(const dataset_id *dataset, const batch *b, seal_tally *t)
{
    for (size_t i = 0; i < b->n; i++) {
        const seal_job *j = &b->jobs[i];
        t->checked++;
        if (chain_verify(&j->seal, &j->author, dataset, j->feed, j->seq, &j->id) == ERR_OK)
            continue;
        if (t->bad++ == 0 || j->offset < t->first_bad.offset)
            t->first_bad = *j;
    }
}

static void add_tally(seal_tally *sum, const seal_tally *t)
{
    if (t->bad > 0 && (sum->bad == 0 || t->first_bad.offset < sum->first_bad.offset))
        sum->first_bad = t->first_bad;
    sum->checked += t->checked;
    sum->bad += t->bad;
}

static void *work(void *arg)
{
    verify_seals *p = arg;
    pthread_mutex_lock(&p->lock);
    for (;;) {
        while (p->queued == 0 && !p->closing)
            pthread_cond_wait(&p->more, &p->lock);
        if (p->queued == 0)
            break;
        batch mine = p->queue[p->first];
        p->first = (p->first + 1) % QUEUED;
        p->queued--;
        p->working++;
        pthread_cond_signal(&p->room);
        pthread_mutex_unlock(&p->lock);
        seal_tally t = {0};
        check_batch(&p->dataset, &mine, &t);
        pthread_mutex_lock(&p->lock);
        add_tally(&p->tally, &t);
        p->working--;
        pthread_cond_signal(&p->room);
    }
    pthread_mutex_unlock(&p->lock);
    return NULL;
}

verify_seals *verify_seals_new(const dataset_id *dataset, unsigned threads)
{
    verify_seals *p = calloc(1, sizeof *p);
    if (p == NULL)
        return NULL;
    p->dataset = *dataset;
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->more, NULL);
    pthread_cond_init(&p->room, NULL);
    while (p->n_threads < threads && p->n_threads < THREADS_MAX &&
           pthread_create(&p->threads[p->n_threads], NULL, work, p) == 0)
        p->n_threads++;
    return p;
}

void verify_seals_free(verify_seals *p)
{
    if (p == NULL)
        return;
    pthread_mutex_lock(&p->lock);
    p->closing = true;
    pthread_cond_broadcast(&p->more);
    pthread_mutex_unlock(&p->lock);
    for (size_t i = 0; i < p->n_threads; i++)
        pthread_join(p->threads[i], NULL);
    pthread_cond_destroy(&p->room);
    pthread_cond_destroy(&p->more);
    pthread_mutex_destroy(&p->lock);
    free(p);
}

static void hand_over(verify_seals *p)
{
    if (p->n_threads == 0) {
        check_batch(&p->dataset, &p->filling, &p->tally);
    } else {
        pthread_mutex_lock(&p->lock);
        while (p->queued == QUEUED)
            pthread_cond_wait(&p->room, &p->lock);
        p->queue[(p->first + p->queued++) % QUEUED] = p->filling;
        pthread_cond_signal(&p->more);
        pthread_mutex_unlock(&p->lock);
    }
    p->filling.n = 0;
}

void verify_seals_add(verify_seals *p, const seal_job *job)
{
    p->filling.jobs[p->filling.n++] = *job;
    if (p->filling.n == BATCH)
        hand_over(p);
}

seal_tally verify_seals_finish(verify_seals *p)
{
    hand_over(p);
    pthread_mutex_lock(&p->lock);
    while (p->queued > 0 || p->working > 0)
        pthread_cond_wait(&p->room, &p->lock);
    seal_tally t = p->tally;
    pthread_mutex_unlock(&p->lock);
    return t;
}
