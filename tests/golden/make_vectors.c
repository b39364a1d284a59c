/* make_vectors DIRECTORY: writes the byte vectors. Run it only to add some: what is published never changes. */
#include "tests/golden/vectors.h"

#include <stdio.h>

static int write_file(const char *directory, const vectors_file *file)
{
    char path[512];
    buf b;
    buf_init(&b, VECTORS_MAX_BYTES);
    file->make(&b);
    snprintf(path, sizeof path, "%s/%s", directory, file->file);
    FILE *f = b.err == ERR_OK ? fopen(path, "wb") : NULL;
    bool ok = f != NULL && fwrite(b.p, 1, b.len, f) == b.len;
    ok = (f == NULL || fclose(f) == 0) && ok;
    if (!ok)
        perror(path);
    buf_release(&b);
    return ok ? 0 : 1;
}

int main(int argc, char **argv)
{
    int failed = 0;
    if (argc != 2) {
        fputs("usage: make_vectors DIRECTORY\n", stderr);
        return 2;
    }
    for (unsigned i = 0; i < VECTORS_FILES; i++)
        failed |= write_file(argv[1], &vectors_files[i]);
    return failed;
}
