/* Keys of Secrets and ConfigMaps that operator resources name, kept current. Objects are read one by one, by name, and
 * again every half minute: that takes the verb `get` on what is named and nothing else, where a watch takes list and
 * watch and a connection for each; and the kubelet, for the volumes of pods, follows no faster. Only the keys in use
 * are held. Control loop only. */
#ifndef KVASS_K8S_OPERATOR_SECRET_H
#define KVASS_K8S_OPERATOR_SECRET_H

#include "base/vec.h"
#include "k8s/client.h"
#include "k8s/operator_job.h"

#define SECRETS_MAX       10000
#define SECRETS_BYTES_MAX ((size_t)32 << 20) /* of all values */
#define SECRET_KEYS_MAX   64                 /* in use, of one object */

struct secret;
struct secrets;

/* What one object of the operator holds on to. */
struct secret_users {
    VEC(struct secret *) list;
};

/* on_change: a value, or whether there is one, is another than before; ask secret_is_changed. */
struct secrets *secrets_new(struct k8s_client *client, struct loop *loop, void (*on_change)(void *data), void *data);
void secrets_free(struct secrets **s);

/* As operator_job_conf.read: the value, or ERR_AGAIN and it is fetched. users takes note of the object (once). */
int secrets_read(struct secrets *s, const struct operator_ref *ref, struct secret_users *users, struct view *ret,
                 struct errctx *err) MUST_CHECK;

bool secrets_are_changed(const struct secrets *s, const struct secret_users *users); /* since secrets_settle */
void secrets_settle(struct secrets *s);                                              /* forgets which are changed */
void secrets_drop_users(struct secret_users *users); /* what nobody uses is forgotten, with the next tick */

#endif
