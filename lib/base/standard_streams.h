/* standard_streams.h: a standard stream that is closed must not become a socket, into which
 * messages would be written. */
#ifndef BASE_STANDARD_STREAMS_H
#define BASE_STANDARD_STREAMS_H

/* Takes the numbers of closed standard streams by something that fails in the same way. Libraries
 * open files before main(), so a program lets it run before them:
 *
 *     BEFORE_MAIN(standard_streams_fill);
 */
void standard_streams_fill(void);

#define BEFORE_MAIN(function)                                                                      \
    __attribute__((section(".preinit_array"), used)) static void (*const before_main)(void) =      \
        function

#endif
