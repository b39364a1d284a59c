#include "cli/run_program.h"

#include "cli/node.h"
#include "cli/supervise.h"

#include <errno.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

static void collect(int fd, buf *out)
{
    uint8_t chunk[1024];
    ssize_t n;
    while ((n = read(fd, chunk, sizeof chunk)) != 0) {
        if (n < 0 && errno != EINTR)
            break;
        if (n > 0)
            (void)buf_add(out, chunk, (size_t)n);
    }
}

int run_program(const char *const *args, buf *out)
{
    char path[HOME_PATH_MAX];
    int ends[2], status = 0;
    supervise_program(path, args[0]);
    if (pipe(ends) != 0)
        return node_fail("cannot make a pipe: %s", strerror(errno));
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        dup2(ends[1], STDOUT_FILENO);
        close(ends[0]);
        close(ends[1]);
        execv(path, (char *const *)args);
        _exit(127);
    }
    close(ends[1]);
    if (pid > 0)
        collect(ends[0], out);
    close(ends[0]);
    if (pid < 0 || waitpid(pid, &status, 0) != pid)
        return node_fail("cannot run %s: %s", path, strerror(errno));
    if (WIFEXITED(status) && WEXITSTATUS(status) == 127)
        node_fail("%s is not there: is Cairn installed completely?", path);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 127;
}
