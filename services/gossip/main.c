#include "gossip/gossip_shell.h"

int main(int argc, char **argv)
{
    return service_main(&gossip_def, argc, argv);
}
