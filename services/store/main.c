#include "store/store_service.h"

int main(int argc, char **argv)
{
    return service_main(&store_def, argc, argv);
}
