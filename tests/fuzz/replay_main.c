/* Runs a fuzz target over files, or over every file of the folders given: how `make check` replays the seeds without libFuzzer. */
#include "base/files.h"
#include "base/mem.h"

#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define SEED_MAX_BYTES ((size_t)64 << 20)

static int replay_file(const char *path)
{
    struct bytes text;
    struct errctx err = ERRCTX_INIT;
    bytes_init(&text, SEED_MAX_BYTES);
    int rc = files_read(path, &text, &err);
    if (rc == 0) {
        /* a copy of exactly the input's size, so that sanitizers see reads behind it */
        uint8_t *exact = mem_alloc(text.len != 0 ? text.len : 1);
        if (text.len != 0) {
            memcpy(exact, text.base, text.len);
        }
        LLVMFuzzerTestOneInput(exact, text.len);
        free(exact);
    } else {
        fprintf(stderr, "%s\n", err.msg);
    }
    bytes_done(&text);
    return rc;
}

/* How many files were replayed; negative on an error. */
static int replay_folder(const char *path)
{
    DIR *dir = opendir(path);
    int count = 0, rc = 0;
    if (dir == NULL) {
        perror(path);
        return -1;
    }
    for (struct dirent *e; rc == 0 && (e = readdir(dir)) != NULL;) {
        if (e->d_name[0] != '.') {
            char *file = mem_printf("%s/%s", path, e->d_name);
            rc = replay_file(file);
            free(file);
            count++;
        }
    }
    closedir(dir);
    return rc == 0 ? count : -1;
}

int main(int argc, char **argv)
{
    int total = 0;
    for (int i = 1; i < argc; i++) {
        struct stat st;
        int n = stat(argv[i], &st) == 0 && S_ISDIR(st.st_mode) ? replay_folder(argv[i]) : (replay_file(argv[i]) == 0 ? 1 : -1);
        if (n < 0) {
            return 1;
        }
        total += n;
    }
    printf("%d inputs replayed\n", total);
    return total > 0 ? 0 : 1;
}
