/* Paths of file_sd_configs, by the rules of Prometheus and Go's path/filepath. */
#ifndef KVASS_DISCOVERY_FILE_PATHS_H
#define KVASS_DISCOVERY_FILE_PATHS_H

#include "base/view.h"

/* ^[^*]*(\*[^/]*)?\.(json|yml|yaml|JSON|YML|YAML)$ */
bool file_paths_is_pattern(struct view path);
bool file_paths_is_json(const char *path);

/* path itself when absolute or empty, else folder/path; cleaned as filepath.Join does. Malloc'd. */
char *file_paths_join(const char *folder, const char *path);
char *file_paths_folder(const char *path); /* "." when it has none; malloc'd */

#endif
