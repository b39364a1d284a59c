#include "radio-bridge/bridge.h"

int main(int argc, char **argv)
{
    return service_main(&bridge_def, argc, argv);
}
