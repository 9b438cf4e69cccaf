/* Shared by the process and the systemd provider: see provider_args.h. */
#include "shard/provider_args.h"
#include "base/intern.h"
#include "base/mem.h"

#include <stdlib.h>

const char *const *provider_args_copy(const char *const *args)
{
    size_t count = 0;
    while (args != NULL && args[count] != NULL) {
        count++;
    }
    const char **copy = mem_calloc(count + 1, sizeof(*copy));
    for (size_t i = 0; i < count; i++) {
        copy[i] = intern(args[i]);
    }
    return copy;
}

void provider_args_free(const char *const **args)
{
    union {
        const char *const *in;
        void *out;
    } list = {*args};
    free(list.out);
    *args = NULL;
}

int provider_ports_check(unsigned base_port, unsigned groups, struct errctx *err)
{
    if (groups == 0 || base_port > 65535 || groups > 65535 || base_port + groups - 1 > 65535) {
        return errctx_set(err, ERR_INVALID,
                          "ports %u to %u: expected at most 65535; lower the first port or the number of shards",
                          base_port, base_port + groups - 1);
    }
    return 0;
}
