/* What a stranger asks the lobby of another node's gossip: functions as shell/clnt_stub.h says, over a client with
 * CURVE keys (clnt_adopt); proto/lobby.def says what they mean. */
#ifndef CAIRN_LOBBY_CLNT_H
#define CAIRN_LOBBY_CLNT_H

#include "shell/clnt_stub.h"

#define LOBBY_CLNT_MS 8000u

#define LOBBY_STUB(ROW) ROW(lobby, join, LOBBY_CLNT_MS)
LOBBY_STUB(CLNT_STUB)

#endif
