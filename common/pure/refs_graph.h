/* Two classic algorithms on a graph of "comes after": cycles (Tarjan 1972, without recursion) and a
 * topological order with a preference (Kahn 1962 with a heap). Linear, and n log n. */
#ifndef CAIRN_REFS_GRAPH_H
#define CAIRN_REFS_GRAPH_H

#include "base/error.h"
#include "pure/arena.h"

/* Node i comes after the nodes edges[first[i]] … edges[first[i + 1] - 1]; repeats are harmless. */
typedef struct {
    uint32_t n;
    const uint32_t *first, *edges;
} refs_graph;

/* component[i] is equal for nodes on a common cycle; a node's component is never smaller than that
 * of a node it comes after. ERR_NO_MEMORY. */
err_t refs_graph_components(arena *a, const refs_graph *g, uint32_t *component) CAIRN_CHECK;

/* All nodes, those it comes after first, of the ready ones the least rank first; ranks are distinct
 * and below n. The graph has no cycles. ERR_NO_MEMORY. */
err_t refs_graph_order(arena *a, const refs_graph *g, const uint32_t *rank,
                       uint32_t *order) CAIRN_CHECK;

#endif
