#include "projection/projection.h"

int main(int argc, char **argv)
{
    return service_main(&projection_def, argc, argv);
}
