/* Values of a mapping whose types are known to be right (promconf_load and promconf_sd_check see to that): absent gives
 * the default, null gives zero as in Prometheus. Strings live as long as the tree. */
#ifndef KVASS_CONFIGGEN_PROMCONF_VALUES_H
#define KVASS_CONFIGGEN_PROMCONF_VALUES_H

#include "configgen/yamltree.h"
#include "model/labels.h"

const char *conf_string(const struct yaml_node *mapping, const char *key, const char *otherwise);
struct view conf_view(const struct yaml_node *mapping, const char *key, struct view otherwise,
                      bool *ret_has);
bool conf_bool(const struct yaml_node *mapping, const char *key, bool otherwise);
uint64_t conf_uint(const struct yaml_node *mapping, const char *key);
int64_t conf_duration(const struct yaml_node *mapping, const char *key); /* 0 when absent */
uint64_t conf_size(const struct yaml_node *mapping, const char *key);
const char **conf_strings(struct arena *arena, const struct yaml_node *mapping, const char *key,
                          size_t *ret_count);
/* string -> string */
const struct label *conf_pairs(struct arena *arena, const struct yaml_node *mapping,
                               const char *key, size_t *ret_count);
/* string -> list of strings, a name repeated for each value */
const struct label *conf_list_pairs(struct arena *arena, const struct yaml_node *mapping,
                                    const char *key, size_t *ret_count);

#endif
