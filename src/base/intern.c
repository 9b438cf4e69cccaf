#include "base/intern.h"
#include "base/hash.h"
#include "base/hashmap.h"
#include "base/mem.h"

#include <pthread.h>

static bool name_equal(const void *entry, const void *key)
{
    return strcmp(entry, key) == 0;
}

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct hashmap names = {.equal = name_equal};

const char *intern_find(const char *name)
{
    pthread_mutex_lock(&lock);
    const char *found = hashmap_get(&names, hash_view(view_of(name)), name);
    pthread_mutex_unlock(&lock);
    return found;
}

const char *intern(const char *name)
{
    uint64_t hash = hash_view(view_of(name));
    pthread_mutex_lock(&lock);
    char *found = hashmap_get(&names, hash, name);
    if (found == NULL) {
        found = mem_strdup(name);
        hashmap_add(&names, hash, found);
    }
    pthread_mutex_unlock(&lock);
    return found;
}
