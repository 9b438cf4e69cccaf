/* Aligned text tables for the operators' commands. */
#ifndef KVASS_CLI_TABLE_H
#define KVASS_CLI_TABLE_H

#include "base/vec.h"

#include <stdbool.h>
#include <stdio.h>

#define TABLE_COLUMNS_MAX 16

struct table {
    size_t columns;
    bool right[TABLE_COLUMNS_MAX]; /* numbers are aligned right */
    VEC(char *) cells;             /* row by row, the header first */
};

/* headers: "NAME|+SERIES|..."; a + in front aligns the column right. */
void table_init(struct table *t, const char *headers);
void table_done(struct table *t);

/* What discovery and targets say goes to a terminal: control characters become '?'. */
void text_make_printable(char *text);

/* One cell, copied and made printable; rows are filled from left to right. */
void table_cell(struct table *t, const char *text);
void table_number(struct table *t, double n); /* rounded to a whole number */

/* colour: header bold, and the words ready, up, down, unreachable, ... in their colours. */
void table_print(const struct table *t, FILE *to, bool colour);

/* Of stdout: a terminal that is not a dumb one, and, for colour, no NO_COLOR in the environment. */
bool terminal_has_colour(void);
bool terminal_moves_cursor(void);

#endif
