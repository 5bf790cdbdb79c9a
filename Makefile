# moat: `make run` builds and serves, `make test` builds and tests. The rest is in CONTRIBUTING.md.
.DEFAULT_GOAL := all
CC ?= gcc
ifeq ($(origin CC),default)
CC := gcc
endif
BUILD ?= build
DEPS := build/deps
PREFIX ?= /usr/local
OPT ?= -O2 -g
WERROR ?=
ARGS ?=
JOBS ?= $(shell nproc)
# One short line for each file; V=1 shows the commands.
Q = $(if $(V),,@)
SAY = @$(if $(V),:,printf '  %-5s %s\n')

WARN := -Wall -Wextra -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wundef $(WERROR)
# Numerics section 1: no contraction, no fast-math; tests/kern holds the negative control.
CONTRACT ?= -ffp-contract=off
CFLAGS_ALL = -std=gnu17 $(OPT) $(WARN) $(CONTRACT) -fno-math-errno -fno-strict-aliasing -fstack-protector-strong -D_GNU_SOURCE \
	-isystem $(DEPS)/include -pthread $(SAN) $(CFLAGS)
LIBS = $(DEPS_OBJ) -l:libuv_a.a -lssl -lcrypto -ledit -lyaml -lm -ldl -lrt -pthread
DEPS_OBJ = $(BUILD)/deps/yyjson.o $(BUILD)/deps/llhttp.o $(BUILD)/deps/llhttp_api.o $(BUILD)/deps/llhttp_http.o

# Which machine the program is for: the tiers of kern that this target can hold.
TARGET := $(shell $(CC) -dumpmachine 2>/dev/null | cut -d- -f1)
TIERS_x86_64 := avx2 avxvnni avx512 amx
TIERS_aarch64 := neon i8mm
ISA_avx2 := -mavx2 -mfma -mf16c
ISA_avxvnni := $(ISA_avx2) -mavxvnni
ISA_avx512 := -mavx512f -mavx512bw -mavx512vl -mavx512dq -mavx512vnni -mavx2 -mfma -mf16c -mprefer-vector-width=512
ISA_amx := $(ISA_avx512) -mamx-tile -mamx-int8
ISA_neon := -march=armv8.2-a+dotprod
ISA_i8mm := $(ISA_neon)+i8mm
ALL_TIERS := $(TIERS_x86_64) $(TIERS_aarch64)
OTHER_TIERS := $(filter-out $(TIERS_$(TARGET)),$(ALL_TIERS))

SRC := $(filter-out $(foreach t,$(OTHER_TIERS),%/kern_$(t).c),$(wildcard src/*/*.c))
OBJ := $(SRC:src/%.c=$(BUILD)/obj/%.o)
LIB_OBJ := $(filter-out $(BUILD)/obj/cmd/main.o,$(OBJ))
# A sanitizer's build leaves out what emulates vectors in plain C: minutes of compiling, and the real texts are instrumented.
EMULATED := tests/kern/test_dot_avx512.c tests/kern/test_dot_amx.c tests/kern/test_fun_avx512.c tests/kern/test_fun_vec_c.c
# kern has no threads: its tests tell the thread sanitizer nothing.
LEFT_OUT := $(if $(findstring thread,$(SAN)),$(wildcard tests/kern/*.c),$(if $(SAN),$(EMULATED)))
TESTS_C := $(filter-out $(LEFT_OUT),$(wildcard tests/unit/*.c tests/kern/*.c tests/wire/*.c tests/sim/*.c tests/fault/*.c))
TESTS := $(TESTS_C:tests/%.c=$(BUILD)/tests/%)
FUZZ_C := $(wildcard tests/fuzz/fuzz_*.c)
FUZZ_REPLAY := $(FUZZ_C:tests/fuzz/%.c=$(BUILD)/fuzz/%)

.PHONY: all run test setup setup-test check asan ubsan tsan long bench install clean help units python-tests

all: setup $(BUILD)/moat

help:
	@echo "make          build $(BUILD)/moat        make run    build, get the default model, serve it (ARGS=...)"
	@echo "make test     all quick tests         make check  format, warnings as errors, layers, sizes, banned, cppcheck"
	@echo "make asan | ubsan | tsan              tests under a sanitizer"
	@echo "make long     fuzzing, torture        make bench  speed against the peers"
	@echo "make install PREFIX=/usr/local        program, man page, completion"

# ---- what is needed -----------------------------------------------------------------------------------------------
setup:
	@CC=$(CC) tools/setup.sh build
setup-test: setup
	@CC=$(CC) tools/setup.sh test

# ---- building -----------------------------------------------------------------------------------------------------
# A change of flags rebuilds: the stamp changes only when they do.
$(BUILD)/flags: FORCE
	@mkdir -p $(@D)
	@echo '$(CC) $(CFLAGS_ALL)' | cmp -s - $@ || echo '$(CC) $(CFLAGS_ALL)' > $@
FORCE:

$(BUILD)/obj/kern/%.o: OPT_FILE := -O3
# Fuzzing looks at parsers; the arithmetic is built as it is released (SAN_KERN=), or clang takes many minutes over it.
SAN_KERN ?= $(SAN)
$(BUILD)/obj/kern/%.o: override SAN := $(SAN_KERN)
$(foreach t,$(TIERS_$(TARGET)),$(eval $(BUILD)/obj/kern/kern_$(t).o: ISA := $(ISA_$(t))))
$(BUILD)/obj/%.o: src/%.c $(BUILD)/flags | setup
	@mkdir -p $(@D)
	$(SAY) CC $@
	$(Q)$(CC) $(CFLAGS_ALL) $(if $(findstring -O0,$(OPT)),,$(OPT_FILE)) $(ISA) -MMD -MP -c $< -o $@

$(BUILD)/deps/yyjson.o: | setup
	@mkdir -p $(@D)
	$(SAY) CC $@
	$(Q)$(CC) -O2 -g -w -c $(DEPS)/src/yyjson.c -I$(DEPS)/include -o $@
$(BUILD)/deps/llhttp.o $(BUILD)/deps/llhttp_api.o $(BUILD)/deps/llhttp_http.o: | setup
	@mkdir -p $(@D)
	$(SAY) CC $@
	$(Q)$(CC) -O2 -g -w -c $(DEPS)/src/$(notdir $(@:.o=.c)) -I$(DEPS)/include -o $@

$(BUILD)/libmoat.a: $(LIB_OBJ)
	@rm -f $@
	$(SAY) AR $@
	$(Q)ar rcs $@ $(LIB_OBJ)

$(BUILD)/moat: $(BUILD)/obj/cmd/main.o $(BUILD)/libmoat.a $(DEPS_OBJ)
	$(SAY) LINK $@
	$(Q)$(CC) $(SAN) $(LDFLAGS) -o $@ $(BUILD)/obj/cmd/main.o $(BUILD)/libmoat.a $(LIBS)

# ---- running --------------------------------------------------------------------------------------------------------
run: setup
	@$(MAKE) --no-print-directory -j$(JOBS) all
	@tools/default_model.sh $(BUILD)/moat
	@$(BUILD)/moat serve $(ARGS)

# ---- tests ----------------------------------------------------------------------------------------------------------
$(TESTS:=.o): $(BUILD)/tests/%.o: tests/%.c $(BUILD)/flags | setup-test
	@mkdir -p $(@D)
	$(SAY) CC $@
	$(Q)$(CC) $(CFLAGS_ALL) $(TEST_ISA) -Wno-conversion -Isrc -Itests -MMD -MP -c $< -o $@
$(TESTS): %: %.o $(BUILD)/libmoat.a $(DEPS_OBJ)
	$(SAY) LINK $@
	$(Q)$(CC) $(SAN) $(TEST_WRAP) $(LDFLAGS) -o $@ $< $(BUILD)/libmoat.a -lcmocka $(LIBS)
# The calls that tests/fault makes fail, or looks at.
$(filter $(BUILD)/tests/fault/%,$(TESTS)): private TEST_WRAP := -Wl,--wrap=openat,--wrap=write,--wrap=fsync,--wrap=renameat,--wrap=unlinkat
# tests/sim has its own clock and its own model.
$(filter $(BUILD)/tests/sim/%,$(TESTS)): private TEST_WRAP := -Wl,--wrap=clock_ns,--wrap=model_forward
# The AVX-512 products run there on AVX2, through SIMDe.
ifeq ($(TARGET),x86_64)
$(BUILD)/tests/kern/test_dot_avx512.o $(BUILD)/tests/kern/test_dot_amx.o $(BUILD)/tests/kern/test_fun_avx512.o: private TEST_ISA := $(ISA_avx2) -Wno-psabi
endif
# Fuzz targets replay their corpus when built by any compiler; `make long` builds them with libFuzzer.
$(BUILD)/fuzz/%: tests/fuzz/%.c tests/fuzz/replay.c $(BUILD)/libmoat.a $(DEPS_OBJ) $(BUILD)/flags
	@mkdir -p $(@D)
	$(SAY) LINK $@
	$(Q)$(CC) $(CFLAGS_ALL) -Wno-conversion -Isrc -Itests -MMD -MP $< tests/fuzz/replay.c -o $@ $(BUILD)/libmoat.a $(LIBS)

# The same targets under libFuzzer: tools/fuzz.sh gives the compiler and the flags.
$(BUILD)/fuzzer/%: tests/fuzz/fuzz_%.c $(BUILD)/libmoat.a $(DEPS_OBJ) $(BUILD)/flags
	@mkdir -p $(@D)
	$(SAY) LINK $@
	$(Q)$(CC) $(CFLAGS_ALL) -fsanitize=fuzzer -Wno-conversion -Isrc -Itests $< -o $@ $(BUILD)/libmoat.a $(LIBS)

# The server with a scripted engine in place of the real one, for tests/serve.
$(BUILD)/fake/moat: tests/serve/fake_engine.c $(BUILD)/libmoat.a $(DEPS_OBJ) $(BUILD)/flags
	@mkdir -p $(@D)
	$(SAY) LINK $@
	$(Q)$(CC) $(CFLAGS_ALL) -Wno-conversion -MMD -MP $< -o $@ $(BUILD)/libmoat.a $(LIBS)

units: $(TESTS) $(FUZZ_REPLAY) $(BUILD)/fake/moat
test: setup-test
	@$(MAKE) --no-print-directory -j$(JOBS) all units
	@BUILD=$(BUILD) CC="$(CC)" tools/test.sh

check: setup-test
	@BUILD=$(BUILD) tools/check.sh

# memmem is not intercepted: each call would check all that is left of a text.
asan:
	@ASAN_OPTIONS=detect_leaks=1:intercept_memmem=0 $(MAKE) --no-print-directory test BUILD=build/asan OPT="-O1 -g" SAN="-fsanitize=address -fno-omit-frame-pointer" QUICK=1
ubsan:
	@$(MAKE) --no-print-directory test BUILD=build/ubsan OPT="-O1 -g" SAN="-fsanitize=undefined -fno-sanitize-recover=all" QUICK=1
tsan:
	@TSAN_OPTIONS=intercept_memmem=0 $(MAKE) --no-print-directory test BUILD=build/tsan OPT="-O1 -g" SAN="-fsanitize=thread" QUICK=1
long: setup-test all
	@BUILD=$(BUILD) tools/long.sh
bench: all
	@BUILD=$(BUILD) bench/run.sh
export QUICK

install: all
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/share/man/man1 $(DESTDIR)$(PREFIX)/share/bash-completion/completions
	install -m 755 $(BUILD)/moat $(DESTDIR)$(PREFIX)/bin/moat
	$(BUILD)/moat help --man > $(DESTDIR)$(PREFIX)/share/man/man1/moat.1
	$(BUILD)/moat help --completion bash > $(DESTDIR)$(PREFIX)/share/bash-completion/completions/moat

clean:
	rm -rf build

-include $(OBJ:.o=.d) $(BUILD)/fake/moat.d $(TESTS:=.d) $(FUZZ_REPLAY:=.d)
