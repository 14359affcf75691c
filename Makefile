# specasr: `make` alone prints this help.
#
#   make run      install what is missing, build, fetch models, transcribe real speech through the split
#   make test     everything that proves it (installs and builds first)
#   make all      build, and leave whisper-base.gguf and whisper-tiny.en.gguf in the model cache
#   make build    only build (MODE=release|debug|asan|ubsan|tsan|cov)
#   make unit     only the unit tests of MODE, TEST_JOBS=n at a time (1)
#   make style    layers, lengths, banned calls
#   make cluster  one coordinator, two targets, eight clients on loopback, with a live view
#   make models   fetch and convert the models     make deps    install Debian packages
#   make fuzz     build the fuzz entries with libFuzzer (clang)
#   make test-speech   exactness over ../shared, where it exists
#   make bench    side-by-side measurements (see bench/README.md)
#   make capacity  ten thousand sessions on one target, overload, refusals (bench/capacity.sh)
#   make soak     a cluster at 80 % load that loses something all the time; MINUTES=60 (bench/soak.py)
#   make faults   each fault in each phase with real processes: texts, leaks, time to recover (bench/faults.py)
#   make study    every policy on the development speech (an hour; see bench/study.sh)
#   make clean    remove build/
#
# Objects of each mode live in build/MODE; a change of flags rebuilds; dependencies are generated.

MODE ?= release
MINUTES ?= 60
BUILD := build/$(MODE)
CC := gcc
AR := ar
ARCH := $(shell uname -m)

WARN := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith -Wvla \
        -Wformat=2 -Wundef -Werror
BASE := -std=gnu11 -D_GNU_SOURCE -Ilib -I$(BUILD)/gen $(WARN) -fno-strict-aliasing -ffp-contract=off \
        -fstack-protector-strong
OPT_release := -O2 -g
OPT_debug := -O0 -g3 -DSPECASR_DEBUG=1
OPT_asan := -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
OPT_ubsan := -O1 -g -fsanitize=undefined -fno-sanitize-recover=all
OPT_tsan := -O1 -g -fsanitize=thread
OPT_cov := -O0 -g --coverage
ifeq ($(OPT_$(MODE)),)
$(error MODE=$(MODE) is unknown: use release, debug, asan, ubsan, tsan or cov)
endif
CFLAGS += $(BASE) $(OPT_$(MODE))
LDFLAGS += $(OPT_$(MODE))
LDLIBS := -lgrpc -lgpr -lprotobuf-c -lsndfile -lmpg123 -lsamplerate -lcjson -lutf8proc -lxxhash -lz -lmicrohttpd \
          -lsodium -lcrypto -lzmq -lpthread -lm

# Kernel files name their instruction set: lib/kernels/*_avx2.c and so on (run-time choice in
# dispatch.c). Under sanitizers they are compiled with less effort, and with address checks only where
# both kinds are on: gcc needs minutes for the combination. MODE=ubsan checks them by itself.
ISA_OPT := $(if $(filter asan ubsan tsan,$(MODE)),-O1,-O3) $(if $(filter asan,$(MODE)),-fno-sanitize=undefined)
ISA_avx2 := -mavx2 -mfma -mf16c $(ISA_OPT)
ISA_avx512 := -mavx512f -mavx512bw -mavx512dq -mavx512vl -mavx512vnni -mfma -mf16c \
              -mprefer-vector-width=512 $(ISA_OPT)
ISA_neon := $(ISA_OPT)
OTHER_ISA := $(if $(filter x86_64,$(ARCH)),%_neon.c,%_avx2.c %_avx512.c)

PROTO := $(wildcard proto/*.proto)
GEN_SRC := $(patsubst proto/%.proto,$(BUILD)/gen/%.pb-c.c,$(PROTO))
LIB_SRC := $(filter-out $(OTHER_ISA),$(sort $(wildcard lib/*/*.c lib/*/*/*.c)))
LIB_OBJ := $(LIB_SRC:%.c=$(BUILD)/%.o) $(GEN_SRC:%.c=%.o)
LIB := $(BUILD)/libspecasr.a

PROGRAMS := $(foreach p,target_node draft_node coordinator,$(if $(wildcard $(p)/*.c),$(p)))
TOOLS := $(patsubst tools/%.c,%,$(wildcard tools/*.c))
BENCHES := $(patsubst bench/%.c,%,$(wildcard bench/*.c))
BIN := $(BUILD)/bin
TEST_SRC := $(sort $(wildcard tests/*/test_*.c tests/*/*/test_*.c))
TESTS := $(TEST_SRC:%.c=$(BUILD)/%)
FUZZ_SRC := $(sort $(wildcard tests/fuzz/fuzz_*.c))
FUZZ_REPLAY := $(FUZZ_SRC:%.c=$(BUILD)/%)
HELPERS := $(patsubst %.c,$(BUILD)/%,$(wildcard tests/e2e/*.c))
SUPPORT_OBJ := $(patsubst %.c,$(BUILD)/%.o,$(wildcard tests/support/*.c) \
                 $(filter-out tests/cluster/test_%,$(wildcard tests/cluster/*.c)))

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.SECONDARY:
.PHONY: help run cluster test all build unit test-programs style models deps fuzz test-speech bench soak faults capacity study clean FORCE

help:
	@sed -n '/^#/!q;s/^# \{0,1\}//p' Makefile

build: $(LIB) $(PROGRAMS:%=$(BIN)/%) $(TOOLS:%=$(BIN)/%)

$(BUILD)/flags: FORCE
	@mkdir -p $(@D)
	@echo '$(CC) $(CFLAGS) $(LDFLAGS) $(LDLIBS)' | cmp -s - $@ || echo '$(CC) $(CFLAGS) $(LDFLAGS) $(LDLIBS)' >$@

$(BUILD)/gen/%.pb-c.c $(BUILD)/gen/%.pb-c.h: proto/%.proto
	@mkdir -p $(@D)
	protoc-c --proto_path=proto --c_out=$(BUILD)/gen $<

$(BUILD)/gen/%.o: $(BUILD)/gen/%.c $(BUILD)/flags
	$(CC) -std=gnu11 -I$(BUILD)/gen $(OPT_$(MODE)) -MMD -MP -c $< -o $@

$(BUILD)/%.o: %.c $(BUILD)/flags | $(GEN_SRC)
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(ISA_$(lastword $(subst _, ,$(basename $(notdir $<))))) -MMD -MP -c $< -o $@

# The list of objects is an input too: a file that was removed must leave the library.
$(BUILD)/objects: FORCE
	@mkdir -p $(@D)
	@echo '$(LIB_OBJ)' | cmp -s - $@ || echo '$(LIB_OBJ)' >$@

$(LIB): $(LIB_OBJ) $(BUILD)/objects
	@rm -f $@
	@$(AR) rcs $@ $(LIB_OBJ)

define PROGRAM_RULE
$(BIN)/$(1): $(patsubst %.c,$(BUILD)/%.o,$(sort $(wildcard $(1)/*.c))) $(LIB)
	@mkdir -p $$(@D)
	$(CC) $(LDFLAGS) -o $$@ $$^ $(LDLIBS)
endef
$(foreach p,$(PROGRAMS),$(eval $(call PROGRAM_RULE,$(p))))

$(TOOLS:%=$(BIN)/%): $(BIN)/%: $(BUILD)/tools/%.o $(LIB)
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS)

$(BENCHES:%=$(BIN)/%): $(BIN)/%: $(BUILD)/bench/%.o $(LIB)
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS) -o $@ $(filter %.o,$^) $(LIB) $(BENCH_LIBS) $(LDLIBS)

# In virtual time, with the simulation of tests/cluster.
$(BIN)/cluster_lag: BENCH_LIBS := -lcmocka
$(BIN)/cluster_lag: $(SUPPORT_OBJ)

$(TESTS): $(BUILD)/%: $(BUILD)/%.o $(SUPPORT_OBJ) $(LIB)
	$(CC) $(LDFLAGS) -o $@ $^ -lcmocka $(LDLIBS)

# What the end-to-end scripts need beside the programs.
$(HELPERS): $(BUILD)/%: $(BUILD)/%.o $(LIB)
	$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS)

# A fuzz entry with the plain main that replays a corpus folder.
$(FUZZ_REPLAY): $(BUILD)/%: $(BUILD)/%.o $(BUILD)/tests/fuzz/replay.o $(LIB)
	$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS)

test-programs: $(TESTS) $(FUZZ_REPLAY) $(HELPERS)

unit: build test-programs
	tools/run_tests.sh $(BUILD) $(TESTS) $(FUZZ_REPLAY)

style:
	tools/check_style.sh

deps:
	tools/deps.sh

models: build
	tools/models.sh $(BIN)

all: deps
	$(MAKE) build
	$(MAKE) models

run: all
	tools/demo.sh $(BIN)

cluster: all
	tools/cluster_demo.sh $(BIN)

test:
	tools/test.sh

test-speech: build models
	tools/test_speech.sh $(BIN)

bench: build $(BENCHES:%=$(BIN)/%)
	bench/run.sh $(BIN)

soak: build
	/usr/bin/python3 bench/soak.py $(BIN) --minutes $(MINUTES)

faults: build
	/usr/bin/python3 bench/faults.py $(BIN)

capacity: build $(BIN)/capacity
	bench/capacity.sh $(BIN)

study: build
	bench/study.sh $(BIN)

FUZZ_FLAGS := -fsanitize=fuzzer,address,undefined
fuzz:
	$(MAKE) MODE=asan CC=clang build/asan/libspecasr.a
	@for f in $(FUZZ_SRC); do clang $(BASE) -Wno-error -g -O1 $(FUZZ_FLAGS) -Ibuild/asan/gen $$f \
	  build/asan/libspecasr.a -o build/asan/$$(basename $$f .c) $(LDLIBS) || exit 1; done
	@echo "run: build/asan/fuzz_NAME tests/fuzz/corpus/NAME"

clean:
	rm -rf build

# tests include tests/support by relative path
-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)
