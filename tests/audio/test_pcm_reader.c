#include "../support/support.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "audio/pcm_reader.h"

static int ends[2];                     /* the pipe under test: read, write */
static volatile sig_atomic_t n_signals;

static int make_pipes(void **state)
{
    (void)state;
    return pipe(ends) != 0;
}

static int close_pipes(void **state)
{
    (void)state;
    close(ends[0]);
    return 0;
}

static void put(const void *bytes, size_t n)
{
    assert_int_equal(write(ends[1], bytes, n), n);
}

static void samples_are_little_endian(void **state)
{
    (void)state;
    struct error err;
    struct pcm_reader reader;
    int16_t samples[8];
    size_t n = 0;
    pcm_reader_init(&reader, ends[0]);
    put("\x01\x02\xFF\xFF\x00\x80", 6);
    assert_ok(pcm_reader_read(&reader, samples, 8, &n, &err), &err);
    assert_int_equal(n, 3);
    assert_int_equal(samples[0], 0x0201);
    assert_int_equal(samples[1], -1);
    assert_int_equal(samples[2], -32768);
    close(ends[1]);
    for (int i = 0; i < 2; i++) {
        assert_ok(pcm_reader_read(&reader, samples, 8, &n, &err), &err);
        assert_int_equal(n, 0);
    }
    assert_false(pcm_reader_odd_byte(&reader));
}

/* Whatever the pieces, odd ones among them, the samples are the same. */
static void a_sample_may_come_in_two_pieces(void **state)
{
    (void)state;
    struct error err;
    struct pcm_reader reader;
    uint8_t bytes[1001];
    int16_t samples[501];
    size_t total = 0, sent = 0;
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)(i * 7 + i / 256);
    pcm_reader_init(&reader, ends[0]);
    for (size_t piece = 1; sent < sizeof(bytes); piece = piece * 5 % 23) {
        size_t n_bytes = MIN(piece, sizeof(bytes) - sent), n = 0;
        put(bytes + sent, n_bytes);
        sent += n_bytes;
        while (total < sent / 2) {
            size_t room = MIN((size_t)3, ARRAY_LEN(samples) - total);
            assert_ok(pcm_reader_read(&reader, samples + total, room, &n, &err), &err);
            assert_in_range(n, 1, 3);
            total += n;
        }
    }
    close(ends[1]);
    size_t n = 1;
    assert_ok(pcm_reader_read(&reader, samples + total, 1, &n, &err), &err);
    assert_int_equal(n, 0);
    assert_true(pcm_reader_odd_byte(&reader)); /* 1,001 bytes: the last is dropped */
    assert_int_equal(total, 500);
    for (size_t i = 0; i < total; i++)
        assert_int_equal((uint16_t)samples[i], bytes[2 * i] | bytes[2 * i + 1] << 8);
}

static void count_signal(int number)
{
    (void)number;
    n_signals++;
}

/* In a child: interrupts the parent many times before the only bytes come. */
static void interrupt_then_write(pid_t parent)
{
    for (int i = 0; i < 500; i++) {
        if (kill(parent, SIGUSR1) != 0)
            _exit(1);
        sched_yield();
    }
    _exit(write(ends[1], "\x34\x12", 2) == 2 ? 0 : 2);
}

static void interruptions_and_non_blocking_input_are_waited_for(void **state)
{
    (void)state;
    struct error err;
    struct pcm_reader reader;
    struct sigaction action = { .sa_handler = count_signal }; /* no SA_RESTART */
    assert_int_equal(sigaction(SIGUSR1, &action, NULL), 0);
    for (int flags = 0; flags <= O_NONBLOCK; flags += O_NONBLOCK) {
        assert_int_equal(fcntl(ends[0], F_SETFL, flags), 0);
        pid_t parent = getpid(), child = fork();
        assert_true(child >= 0);
        if (child == 0)
            interrupt_then_write(parent);
        int16_t sample = 0;
        size_t n = 0;
        int status = 0;
        pcm_reader_init(&reader, ends[0]);
        assert_ok(pcm_reader_read(&reader, &sample, 1, &n, &err), &err);
        assert_int_equal(n, 1);
        assert_int_equal(sample, 0x1234);
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_int_equal(status, 0);
    }
    assert_true(n_signals > 0);
    close(ends[1]);
}

/* What has come is given, then the end, although the pipe stays open: without the stop the last
 * read would wait for ever. */
static void a_stop_ends_the_input_behind_what_has_come(void **state)
{
    (void)state;
    struct error err;
    struct pcm_reader reader;
    int stop[2];
    int16_t samples[8];
    size_t n = 0;
    assert_int_equal(pipe(stop), 0);
    pcm_reader_init(&reader, ends[0]);
    pcm_reader_stop_by(&reader, stop[0]);
    put("\x01\x00\x02\x00\x03", 5);
    assert_ok(pcm_reader_read(&reader, samples, 1, &n, &err), &err);
    assert_int_equal(n, 1);
    assert_int_equal(write(stop[1], "", 1), 1);
    assert_ok(pcm_reader_read(&reader, samples, 8, &n, &err), &err);
    assert_int_equal(n, 1);
    assert_int_equal(samples[0], 2);
    assert_ok(pcm_reader_read(&reader, samples, 8, &n, &err), &err);
    assert_int_equal(n, 0);
    assert_false(pcm_reader_odd_byte(&reader)); /* the other half was still to come */
    close(ends[1]);
    close(stop[0]);
    close(stop[1]);
}

/* A file, which can always be read. */
static void behind_a_stop_an_endless_input_ends_too(void **state)
{
    (void)state;
    struct error err;
    struct pcm_reader reader;
    int stop[2];
    int16_t samples[1000];
    size_t n, total = 0;
    int zeros = open("/dev/zero", O_RDONLY);
    assert_true(zeros >= 0);
    assert_int_equal(pipe(stop), 0);
    pcm_reader_init(&reader, zeros);
    pcm_reader_stop_by(&reader, stop[0]);
    assert_int_equal(write(stop[1], "", 1), 1);
    do {
        assert_ok(pcm_reader_read(&reader, samples, ARRAY_LEN(samples), &n, &err), &err);
        total += n;
    } while (n > 0 && total <= PCM_READER_LATE_MAX);
    assert_int_equal(total, PCM_READER_LATE_MAX / 2);
    close(zeros);
    close(ends[1]);
    close(stop[0]);
    close(stop[1]);
}

static void a_refusal_of_the_system_is_an_error(void **state)
{
    (void)state;
    struct error err;
    struct pcm_reader reader;
    int16_t sample;
    size_t n = 9;
    pcm_reader_init(&reader, -1);
    assert_int_equal(pcm_reader_read(&reader, &sample, 1, &n, &err), STATUS_IO);
    assert_int_equal(n, 0);
    assert_non_null(strstr(err.text, "cannot read"));
    close(ends[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(samples_are_little_endian, make_pipes, close_pipes),
        cmocka_unit_test_setup_teardown(a_sample_may_come_in_two_pieces, make_pipes, close_pipes),
        cmocka_unit_test_setup_teardown(interruptions_and_non_blocking_input_are_waited_for,
                                        make_pipes, close_pipes),
        cmocka_unit_test_setup_teardown(a_stop_ends_the_input_behind_what_has_come,
                                        make_pipes, close_pipes),
        cmocka_unit_test_setup_teardown(behind_a_stop_an_endless_input_ends_too,
                                        make_pipes, close_pipes),
        cmocka_unit_test_setup_teardown(a_refusal_of_the_system_is_an_error, make_pipes,
                                        close_pipes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
