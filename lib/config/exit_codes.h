/* exit_codes.h: what the programs' exit codes mean; --help and README.md list the same. */
#ifndef CONFIG_EXIT_CODES_H
#define CONFIG_EXIT_CODES_H

enum exit_code {
    EXIT_CODE_OK = 0,
    EXIT_CODE_FAILED = 1,       /* at least one file, model or operation failed */
    EXIT_CODE_USAGE = 2,        /* the command line or the configuration file is wrong */
    EXIT_CODE_UNREACHABLE = 3,  /* no target answers, or none came back within the deadline */
    EXIT_CODE_DIFFERS = 4       /* --check: the text differs from that of the target alone */
};
/* draft_node that a signal ends: 128 + its number, as in a shell, whatever else went wrong (live
 * input: also when all that was said got its text). The servers: 0, when they have drained. */

/* The list as --help prints it. */
#define EXIT_CODES_TEXT                                                         \
    "0 done, 1 a file or an operation failed, 2 wrong use, 3 target not "       \
    "reachable, 4 --check found a difference, 128 + N ended by signal N"

#endif
