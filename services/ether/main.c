#include "ether/lab.h"

int main(int argc, char **argv)
{
    lab_settings s = {0};
    int status = lab_settings_read(&s, argc, argv);
    if (status < 0)
        status = lab_run(&s);
    lab_settings_release(&s);
    return status;
}
