/* The sub-commands: each takes argv with argv[0] being its own name, and returns the process' exit status
 * (0 done, 1 the answer is no or it failed, 2 wrong usage). main.c holds the table. */
#ifndef KVASS_CLI_COMMANDS_H
#define KVASS_CLI_COMMANDS_H

int cmd_count(int argc, char **argv);                   /* cli/cmd_count.c */
int cmd_check_config(int argc, char **argv);            /* cli/cmd_check.c */
int cmd_check_service_discovery(int argc, char **argv); /* cli/cmd_check_sd.c */
int cmd_render(int argc, char **argv);                  /* cli/cmd_render.c */
int cmd_plan(int argc, char **argv);                    /* cli/cmd_plan.c */
int cmd_simulate(int argc, char **argv);                /* cli/cmd_simulate.c */
int cmd_get(int argc, char **argv);                     /* cli/cmd_get.c */
int cmd_config(int argc, char **argv);                  /* cli/cmd_config.c: show, check */
int cmd_role(int argc, char **argv);                    /* cli/cmd_role.c: appliance, coordinator, sidecar, run */

#endif
