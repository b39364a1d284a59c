#include "pure/refs_graph.h"

#include <assert.h>
#include <stdbool.h>
#include <string.h>

typedef struct {
    const refs_graph *g;
    uint32_t *component;
    uint32_t *met;  /* order of discovery from 1; 0: not yet */
    uint32_t *low;  /* earliest open node reachable */
    uint32_t *edge; /* next edge to look at */
    uint32_t *open; /* stack of nodes without a component */
    uint32_t *path; /* stack of nodes being visited */
    uint32_t n_met, n_open, n_path, n_components;
} tarjan;

static void enter(tarjan *t, uint32_t node)
{
    t->met[node] = t->low[node] = ++t->n_met;
    t->edge[node] = t->g->first[node];
    t->open[t->n_open++] = node;
    t->path[t->n_path++] = node;
}

static void close_component(tarjan *t, uint32_t root)
{
    uint32_t node;
    do {
        node = t->open[--t->n_open];
        t->component[node] = t->n_components;
    } while (node != root);
    t->n_components++;
}

/* Back from `node` to the one it was entered from. */
static void leave(tarjan *t, uint32_t node)
{
    if (t->low[node] == t->met[node])
        close_component(t, node);
    t->n_path--;
    if (t->n_path > 0) {
        uint32_t parent = t->path[t->n_path - 1];
        if (t->low[node] < t->low[parent])
            t->low[parent] = t->low[node];
    }
}

static void visit(tarjan *t, uint32_t root)
{
    enter(t, root);
    while (t->n_path > 0) {
        uint32_t node = t->path[t->n_path - 1];
        if (t->edge[node] == t->g->first[node + 1]) {
            leave(t, node);
            continue;
        }
        uint32_t next = t->g->edges[t->edge[node]++];
        if (t->met[next] == 0)
            enter(t, next);
        else if (t->component[next] == UINT32_MAX && t->met[next] < t->low[node])
            t->low[node] = t->met[next];
    }
}

err_t refs_graph_components(arena *a, const refs_graph *g, uint32_t *component)
{
    uint32_t *memory = arena_array(a, g->n, 5 * sizeof(uint32_t));
    if (memory == NULL)
        return ERR_NO_MEMORY;
    tarjan t = {.g = g, .component = component, .met = memory};
    t.low = t.met + g->n;
    t.edge = t.low + g->n;
    t.open = t.edge + g->n;
    t.path = t.open + g->n;
    memset(t.met, 0, g->n * sizeof *t.met);
    memset(component, 0xff, g->n * sizeof *component);
    for (uint32_t i = 0; i < g->n; i++)
        if (t.met[i] == 0)
            visit(&t, i);
    assert(t.n_open == 0);
    return ERR_OK;
}

/* ---- Kahn: a binary heap of ranks ---- */

static void heap_push(uint32_t *heap, uint32_t *n, uint32_t rank)
{
    uint32_t at = (*n)++;
    for (; at > 0 && heap[(at - 1) / 2] > rank; at = (at - 1) / 2)
        heap[at] = heap[(at - 1) / 2];
    heap[at] = rank;
}

static uint32_t heap_pop(uint32_t *heap, uint32_t *n)
{
    uint32_t least = heap[0], last = heap[--*n], at = 0;
    for (;;) {
        uint32_t child = 2 * at + 1;
        if (child + 1 < *n && heap[child + 1] < heap[child])
            child++;
        if (child >= *n || heap[child] >= last)
            break;
        heap[at] = heap[child];
        at = child;
    }
    heap[at] = last;
    return least;
}

typedef struct {
    uint32_t *waits; /* per node: edges whose end is not out yet */
    uint32_t *by_rank;
    uint32_t *heap;
    uint32_t *first; /* n + 1, the edges turned round: who waits for a node */
    uint32_t *waiter;
} kahn;

static void turn_round(const refs_graph *g, kahn *k)
{
    memset(k->first, 0, (g->n + 1) * sizeof *k->first);
    for (uint32_t e = 0; e < g->first[g->n]; e++)
        k->first[g->edges[e]]++;
    for (uint32_t i = 1; i <= g->n; i++)
        k->first[i] += k->first[i - 1];
    for (uint32_t i = 0; i < g->n; i++) {
        k->waits[i] = g->first[i + 1] - g->first[i];
        for (uint32_t e = g->first[i]; e < g->first[i + 1]; e++)
            k->waiter[--k->first[g->edges[e]]] = i;
    }
}

err_t refs_graph_order(arena *a, const refs_graph *g, const uint32_t *rank, uint32_t *order)
{
    uint32_t n_edges = g->first[g->n], n_heap = 0, done = 0;
    uint32_t *memory = arena_array(a, 4 * (size_t)g->n + 1 + n_edges, sizeof(uint32_t));
    if (memory == NULL)
        return ERR_NO_MEMORY;
    kahn k = {.waits = memory};
    k.by_rank = k.waits + g->n;
    k.heap = k.by_rank + g->n;
    k.first = k.heap + g->n;
    k.waiter = k.first + g->n + 1;
    turn_round(g, &k);
    for (uint32_t i = 0; i < g->n; i++) {
        k.by_rank[rank[i]] = i;
        if (k.waits[i] == 0)
            heap_push(k.heap, &n_heap, rank[i]);
    }
    while (n_heap > 0) {
        uint32_t node = k.by_rank[heap_pop(k.heap, &n_heap)];
        order[done++] = node;
        for (uint32_t e = k.first[node]; e < k.first[node + 1]; e++)
            if (--k.waits[k.waiter[e]] == 0)
                heap_push(k.heap, &n_heap, rank[k.waiter[e]]);
    }
    assert(done == g->n);
    return ERR_OK;
}
