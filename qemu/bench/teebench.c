// SPDX-License-Identifier: MIT OR Apache-2.0
//
// What a call to OP-TEE costs a Linux program, from its call of libteec until libteec returns.
//
//   teebench [CALLS [PART,PART,...]]
//
// measures every case whose name contains one of the parts (all cases without parts), CALLS
// times each; cases that take long are called less often. It writes one line per case, times in
// ticks of the virtual counter:
//
//   teebench: frequency 62500000
//   teebench: case pta.nop calls 40 median 1609 least 1609 most 4402
//   teebench: done 1
//
// The last line says how many cases were measured. A case that fails says so and is the last.
//
// Around every timed call the program executes marks: instructions that do nothing, for
// calls.c, which is loaded into QEMU, to see.

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <tee_client_api.h>

// A move to the zero register; calls.c knows the numbers.
#define MARK(number) __asm__ volatile("movz xzr, #" #number ::: "memory")
#define MARK_CASE MARK(0x7ee0)
#define MARK_CALL MARK(0x7ee1)
#define MARK_RETURN MARK(0x7ee2)

enum { WARM_UPS = 4, MOST_CALLS = 100000, LARGEST = 1 << 20 };

// No pseudo TA and no TA has it: the parameters are mapped, checked and copied back, and nothing
// else happens.
static const uint32_t NO_COMMAND = 0x7fffffff;

// OP-TEE's own tests: a pseudo TA inside its core, a small TA, and one with shared libraries.
static const TEEC_UUID INVOKE_TESTS = {
	0xd96a5b40, 0xc3e5, 0x21e3, { 0x87, 0x94, 0x10, 0x02, 0xa5, 0xd5, 0xc6, 0x1b }
};
static const TEEC_UUID CONCURRENT = {
	0xe13010e0, 0x2ae1, 0x11e5, { 0x89, 0x6a, 0x00, 0x02, 0xa5, 0xd5, 0xc5, 0x1b }
};
static const TEEC_UUID OS_TEST = {
	0x5b9e0e40, 0x2636, 0x11e1, { 0xad, 0x9e, 0x00, 0x02, 0xa5, 0xd5, 0xc5, 0x1b }
};

static const struct {
	const char *name;
	size_t bytes;
	unsigned rarity;
} SIZES[] = { { "4K", 4 << 10, 1 }, { "64K", 64 << 10, 2 }, { "512K", 512 << 10, 5 }, { "1M", LARGEST, 5 } };

#define EACH_SIZE(s) (size_t s = 0; s < sizeof SIZES / sizeof *SIZES; s++)

static unsigned calls_wanted = 100;
static const char *parts = "";
static unsigned cases_measured;
static uint64_t ticks[MOST_CALLS];

// What the calls work on.
static TEEC_Context context;
static TEEC_Session session;
static TEEC_Operation operation;
static const TEEC_UUID *opened;
static uint8_t *pages;
static size_t bytes;

static uint64_t counter(void)
{
	uint64_t now;
	__asm__ volatile("isb\n\tmrs %0, cntvct_el0\n\tisb" : "=r"(now)::"memory");
	return now;
}

static uint64_t frequency(void)
{
	uint64_t hertz;
	__asm__("mrs %0, cntfrq_el0" : "=r"(hertz));
	return hertz;
}

static void give_up(const char *what, TEEC_Result result)
{
	printf("teebench: failed %s: %#x\n", what, result);
	exit(1);
}

static void must(const char *what, TEEC_Result result)
{
	if (result != TEEC_SUCCESS)
		give_up(what, result);
}

// Whether the name contains a part.
static int is_wanted(const char *name)
{
	size_t length;
	if (!*parts)
		return 1;
	for (const char *part = parts; *part; part += length + (part[length] == ',')) {
		length = strcspn(part, ",");
		if (length && memmem(name, strlen(name), part, length))
			return 1;
	}
	return 0;
}

static int by_value(const void *a, const void *b)
{
	const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
	return (x > y) - (x < y);
}

// Times `call`, which must return `expected`, a `rarity`-th as often as wanted.
static void measure(const char *name, unsigned rarity, TEEC_Result (*call)(void), TEEC_Result expected)
{
	// An odd number, so that one call is in the middle.
	const unsigned calls = calls_wanted / rarity | 1;
	if (!is_wanted(name))
		return;
	MARK_CASE;
	for (unsigned i = 0; i < calls + WARM_UPS; i++) {
		TEEC_Result result;
		uint64_t before, after;
		if (i < WARM_UPS) {
			before = after = 0;
			result = call();
		} else {
			MARK_CALL;
			before = counter();
			result = call();
			after = counter();
			MARK_RETURN;
			ticks[i - WARM_UPS] = after - before;
		}
		if (result != expected)
			give_up(name, result);
	}
	qsort(ticks, calls, sizeof *ticks, by_value);
	printf("teebench: case %s calls %u median %lu least %lu most %lu\n", name, calls,
	       ticks[calls / 2], ticks[0], ticks[calls - 1]);
	fflush(stdout);
	cases_measured++;
}

static TEEC_Result nothing(void)
{
	return TEEC_SUCCESS;
}

static TEEC_Result system_call(void)
{
	return getppid() < 0 ? TEEC_ERROR_GENERIC : TEEC_SUCCESS;
}

static TEEC_Result open_and_close_context(void)
{
	TEEC_Context other;
	TEEC_Result result = TEEC_InitializeContext(NULL, &other);
	if (result == TEEC_SUCCESS)
		TEEC_FinalizeContext(&other);
	return result;
}

static TEEC_Result invoke(void)
{
	uint32_t origin;
	return TEEC_InvokeCommand(&session, NO_COMMAND, &operation, &origin);
}

static TEEC_Result open_session(TEEC_Session *into)
{
	uint32_t origin;
	return TEEC_OpenSession(&context, into, opened, TEEC_LOGIN_PUBLIC, NULL, NULL, &origin);
}

static TEEC_Result open_and_close_session(void)
{
	TEEC_Session other;
	TEEC_Result result = open_session(&other);
	if (result == TEEC_SUCCESS)
		TEEC_CloseSession(&other);
	return result;
}

static TEEC_SharedMemory unshared(void *buffer)
{
	return (TEEC_SharedMemory){ .buffer = buffer, .size = bytes, .flags = TEEC_MEM_INPUT | TEEC_MEM_OUTPUT };
}

static TEEC_Result allocate_and_release(void)
{
	TEEC_SharedMemory memory = unshared(NULL);
	TEEC_Result result = TEEC_AllocateSharedMemory(&context, &memory);
	if (result == TEEC_SUCCESS)
		TEEC_ReleaseSharedMemory(&memory);
	return result;
}

static TEEC_Result register_and_release(void)
{
	TEEC_SharedMemory memory = unshared(pages);
	TEEC_Result result = TEEC_RegisterSharedMemory(&context, &memory);
	if (result == TEEC_SUCCESS)
		TEEC_ReleaseSharedMemory(&memory);
	return result;
}

// Times a command of the open session with one parameter of a type.
static void measure_command(const char *ta, const char *what, const char *size, unsigned rarity, uint32_t type)
{
	char name[64];
	snprintf(name, sizeof name, "%s.%s%s", ta, what, size);
	operation.paramTypes = TEEC_PARAM_TYPES(type, TEEC_NONE, TEEC_NONE, TEEC_NONE);
	measure(name, rarity, invoke, TEEC_ERROR_BAD_PARAMETERS);
}

static void measure_whole(const char *ta, const char *what, size_t s, TEEC_SharedMemory *memory)
{
	operation.params[0].memref.parent = memory;
	measure_command(ta, what, SIZES[s].name, SIZES[s].rarity, TEEC_MEMREF_WHOLE);
	TEEC_ReleaseSharedMemory(memory);
}

// A buffer of a size: passed as it is, allocated by the driver before, registered before.
static void measure_buffers(const char *ta, size_t s)
{
	TEEC_SharedMemory memory;
	bytes = SIZES[s].bytes;

	operation.params[0].tmpref.buffer = pages;
	operation.params[0].tmpref.size = bytes;
	measure_command(ta, "tmp_inout_", SIZES[s].name, SIZES[s].rarity, TEEC_MEMREF_TEMP_INOUT);

	memory = unshared(NULL);
	must("allocate", TEEC_AllocateSharedMemory(&context, &memory));
	memset(memory.buffer, 1, bytes);
	measure_whole(ta, "shm_alloc_", s, &memory);

	memory = unshared(pages);
	must("register", TEEC_RegisterSharedMemory(&context, &memory));
	measure_whole(ta, "shm_reg_", s, &memory);
}

static void measure_commands(const char *ta, const TEEC_UUID *uuid)
{
	opened = uuid;
	must("open", open_session(&session));
	measure_command(ta, "nop", "", 1, TEEC_NONE);
	measure_command(ta, "value", "", 1, TEEC_VALUE_INOUT);
	for EACH_SIZE(s)
		measure_buffers(ta, s);
	TEEC_CloseSession(&session);
}

static void measure_sharing(void)
{
	char name[64];
	for EACH_SIZE(s) {
		bytes = SIZES[s].bytes;
		snprintf(name, sizeof name, "alloc_release_%s", SIZES[s].name);
		measure(name, 5, allocate_and_release, TEEC_SUCCESS);
		snprintf(name, sizeof name, "reg_unreg_%s", SIZES[s].name);
		measure(name, 5, register_and_release, TEEC_SUCCESS);
	}
}

static void measure_opening(const char *name, unsigned rarity, const TEEC_UUID *uuid)
{
	opened = uuid;
	measure(name, rarity, open_and_close_session, TEEC_SUCCESS);
}

int main(int count, char **arguments)
{
	if (count > 1)
		calls_wanted = strtoul(arguments[1], NULL, 10);
	if (count > 2)
		parts = arguments[2];
	if (calls_wanted >= MOST_CALLS)
		give_up("number of calls", calls_wanted);
	printf("teebench: frequency %lu\n", frequency());

	// Written to, so that the kernel has given every page a place.
	pages = aligned_alloc(4096, LARGEST);
	if (!pages)
		give_up("memory", TEEC_ERROR_OUT_OF_MEMORY);
	memset(pages, 0x5a, LARGEST);
	must("context", TEEC_InitializeContext(NULL, &context));

	measure("timer_overhead", 1, nothing, TEEC_SUCCESS);
	measure("getppid", 1, system_call, TEEC_SUCCESS);
	measure("ctx_open_close", 5, open_and_close_context, TEEC_SUCCESS);
	measure_commands("pta", &INVOKE_TESTS);
	measure_commands("uta", &CONCURRENT);
	measure_sharing();
	measure_opening("open_close_pta", 5, &INVOKE_TESTS);
	// They read the TA through the supplicant, and check its signature.
	measure_opening("open_close_uta_concurrent", 20, &CONCURRENT);
	measure_opening("open_close_uta_os_test", 20, &OS_TEST);

	TEEC_FinalizeContext(&context);
	printf("teebench: done %u\n", cases_measured);
	return 0;
}
