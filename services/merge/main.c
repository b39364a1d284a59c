#include "merge/merge_service.h"

int main(int argc, char **argv)
{
    return service_main(&merge_def, argc, argv);
}
