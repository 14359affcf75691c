/* scenario.h: what the cluster tests have in common: machines, networks, ordinary clients. */
#ifndef TESTS_CLUSTER_SCENARIO_H
#define TESTS_CLUSTER_SCENARIO_H

#include "sim.h"

enum { MS = 1000, SECOND = 1000000 };

/* A GPU, on which rows are nearly free as far as a pass goes; base on two cores (docs/SPEED.md,
 * f16); a phone and a laptop as draft machines. */
extern const struct pace pace_gpu, pace_cpu, pace_phone, pace_laptop;

/* Networks: the same room, another city, a bad radio link. */
extern const struct sim_net net_near, net_far, net_radio;

/* A world opened by cmocka's group set-up: scripts of 4 to 40 tokens a window. */
extern struct world scenario_world;
int scenario_open(void **state);
int scenario_close(void **state);

/* Targets on a GPU, laptops as clients. */
struct sim_options scenario_options(uint64_t seed, uint32_t n_targets);

/* A client with drafts, timestamps, PCM, all from files. */
struct sim_plan scenario_plan(const struct sim_utterance *utterances, uint32_t n);

/* Runs and frees; fails the test with what was wrong. */
void scenario_check(struct sim *sim, uint64_t limit_us);

#endif
