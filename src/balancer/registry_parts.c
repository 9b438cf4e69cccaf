/* Parts of split targets in the registry: entries that come and go with the generations of their whole. Kept here is
 * only that the links between the two are right; which generations there are is decided elsewhere (split.h). Nobody may
 * hold a part or a whole over a call that removes one. */
#include "balancer/registry.h"

struct giant *registry_giant(struct registry *r, struct registry_entry *e)
{
    invariant(!target_is_part(e->target));
    if (e->giant == NULL) {
        e->giant = mem_calloc(1, sizeof(*e->giant));
        split_init(&e->giant->split);
        *vec_push(&r->giants) = e;
    }
    return e->giant;
}

static void drop_giant(struct registry *r, struct registry_entry *e)
{
    for (size_t i = 0; i < r->giants.len; i++) {
        if (r->giants.items[i] == e) {
            vec_remove(&r->giants, i);
            break;
        }
    }
    vec_done(&e->giant->parts);
    MEM_FREE(e->giant);
}

void registry_giant_end(struct registry *r, struct registry_entry *e)
{
    if (e->giant != NULL) {
        invariant(e->giant->parts.len == 0);
        drop_giant(r, e);
    }
}

void registry_note_part(struct registry *r, struct registry_entry *e)
{
    r->part_count += target_is_part(e->target);
    r->orphan_count += target_is_part(e->target);
}

void registry_unlink(struct registry *r, struct registry_entry *e)
{
    if (e->giant != NULL) {
        vec_foreach(p, &e->giant->parts) {
            (*p)->whole = NULL;
            r->orphan_count++;
        }
        drop_giant(r, e);
    }
    if (!target_is_part(e->target)) {
        return;
    }
    r->part_count--;
    if (e->whole == NULL) {
        r->orphan_count--;
        return;
    }
    for (size_t i = 0; i < e->whole->giant->parts.len; i++) {
        if (e->whole->giant->parts.items[i] == e) {
            vec_remove(&e->whole->giant->parts, i);
            return;
        }
    }
}

void registry_attach(struct registry *r, struct registry_entry *e, struct registry_entry *part)
{
    if (part->whole == e) {
        return;
    }
    invariant(part->whole == NULL && e->giant != NULL);
    part->whole = e;
    r->orphan_count--;
    *vec_push(&e->giant->parts) = part;
}

void registry_share_size(const struct registry_entry *e, struct registry_entry *part)
{
    uint32_t parts = part->target->parts;
    part->series = (e->series + parts - 1) / parts;
    part->scraped = (e->scraped + parts - 1) / parts;
    part->history_len = 0;
    part->size_known = true;
}

struct registry_entry *registry_part(struct registry *r, struct registry_entry *e, uint32_t part, uint32_t parts)
{
    struct target *t = target_part(e->target, part, parts);
    struct registry_entry *p = registry_restore(r, t);
    target_unref(t);
    if (!target_is_part(p->target) || (p->whole != NULL && p->whole != e)) {
        return NULL;
    }
    registry_attach(r, e, p);
    if (!p->size_known) {
        registry_share_size(e, p);
    }
    return p;
}

void registry_forget_parts(struct registry *r)
{
    for (size_t i = r->entries.len; r->part_count > 0 && i-- > 0;) {
        if (target_is_part(r->entries.items[i]->target)) {
            registry_remove(r, r->entries.items[i]);
        }
    }
    while (r->giants.len > 0) {
        registry_giant_end(r, r->giants.items[r->giants.len - 1]);
    }
}

bool entry_is_planned(const struct registry_entry *e)
{
    return !e->over_limit && (e->giant == NULL || split_has(&e->giant->split, 1));
}
