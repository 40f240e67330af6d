// SPDX-License-Identifier: MIT OR Apache-2.0
//
// Several threads that call OP-TEE at once, each bound to a core of its own, from core 0 on.
//
//   callers nop CALLERS CALLS    a call without parameters of a pseudo TA
//   callers busy CALLERS CALLS   a call of a TA that keeps its core busy in the secure world
//   callers flood CALLERS        until killed: every other thread registers and unregisters a
//                                megabyte, the others make calls without parameters
//
// When all threads are ready, a mark for calls.c, which is loaded into QEMU, begins a case; when
// the first one has made its calls, another ends it. Around each call are teebench's marks. The
// last line is `callers: done CALLERS`. A call that fails says so and is the last.

#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <tee_client_api.h>

// A move to the zero register; calls.c knows the numbers.
#define MARK(number) __asm__ volatile("movz xzr, #" #number ::: "memory")
#define MARK_CASE MARK(0x7ee0)
#define MARK_CALL MARK(0x7ee1)
#define MARK_RETURN MARK(0x7ee2)
#define MARK_END MARK(0x7ee3)

enum { WARM_UPS = 4, MOST_CALLERS = 8, BYTES = 1 << 20, ROUNDS = 20 };

// teebench.c says what they are.
static const TEEC_UUID INVOKE_TESTS = {
	0xd96a5b40, 0xc3e5, 0x21e3, { 0x87, 0x94, 0x10, 0x02, 0xa5, 0xd5, 0xc6, 0x1b }
};
static const TEEC_UUID CONCURRENT = {
	0xe13010e0, 0x2ae1, 0x11e5, { 0x89, 0x6a, 0x00, 0x02, 0xa5, 0xd5, 0xc5, 0x1b }
};
static const uint32_t NO_COMMAND = 0x7fffffff;
// Of the TA: counts a thousand steps in each of some rounds.
static const uint32_t BUSY_LOOP = 0;

static enum { NOP, BUSY, FLOOD } kind;
static unsigned callers, calls;
static pthread_barrier_t ready;

struct caller {
	pthread_t thread;
	unsigned core;
	TEEC_Context context;
	TEEC_Session session;
	TEEC_Operation operation;
	TEEC_SharedMemory memory;
	uint8_t *pages;
};

static void must(const char *what, TEEC_Result result, TEEC_Result expected)
{
	if (result != expected) {
		printf("callers: failed %s: %#x\n", what, result);
		exit(1);
	}
}

static void bind_to(unsigned core)
{
	cpu_set_t set;
	CPU_ZERO(&set);
	CPU_SET(core, &set);
	if (sched_setaffinity(0, sizeof set, &set)) {
		printf("callers: failed: no core %u\n", core);
		exit(1);
	}
}

static void open_session(struct caller *caller)
{
	const TEEC_UUID *uuid = kind == BUSY ? &CONCURRENT : &INVOKE_TESTS;
	TEEC_Operation *operation = &caller->operation;
	uint32_t origin;
	must("context", TEEC_InitializeContext(NULL, &caller->context), TEEC_SUCCESS);
	must("session", TEEC_OpenSession(&caller->context, &caller->session, uuid, TEEC_LOGIN_PUBLIC, NULL, NULL, &origin),
	     TEEC_SUCCESS);
	if (kind != BUSY)
		return;
	// The TA counts in it how many threads are in the loop.
	caller->memory = (TEEC_SharedMemory){ .size = 64, .flags = TEEC_MEM_INPUT | TEEC_MEM_OUTPUT };
	must("allocate", TEEC_AllocateSharedMemory(&caller->context, &caller->memory), TEEC_SUCCESS);
	memset(caller->memory.buffer, 0, caller->memory.size);
	operation->paramTypes = TEEC_PARAM_TYPES(TEEC_MEMREF_WHOLE, TEEC_VALUE_INOUT, TEEC_NONE, TEEC_NONE);
	operation->params[0].memref.parent = &caller->memory;
}

static void invoke(struct caller *caller)
{
	uint32_t origin;
	caller->operation.params[1].value.a = ROUNDS;
	must("call",
	     TEEC_InvokeCommand(&caller->session, kind == BUSY ? BUSY_LOOP : NO_COMMAND, &caller->operation, &origin),
	     kind == BUSY ? TEEC_SUCCESS : TEEC_ERROR_BAD_PARAMETERS);
}

static void share(struct caller *caller)
{
	caller->memory = (TEEC_SharedMemory){
		.buffer = caller->pages, .size = BYTES, .flags = TEEC_MEM_INPUT | TEEC_MEM_OUTPUT
	};
	must("register", TEEC_RegisterSharedMemory(&caller->context, &caller->memory), TEEC_SUCCESS);
	TEEC_ReleaseSharedMemory(&caller->memory);
}

static void flood(struct caller *caller)
{
	if (caller->core % 2)
		share(caller);
	else
		invoke(caller);
}

static void *run(void *argument)
{
	struct caller *caller = argument;
	bind_to(caller->core);
	open_session(caller);
	while (kind == FLOOD)
		flood(caller);
	for (unsigned i = 0; i < WARM_UPS; i++)
		invoke(caller);
	if (pthread_barrier_wait(&ready) == PTHREAD_BARRIER_SERIAL_THREAD)
		MARK_CASE;
	pthread_barrier_wait(&ready);
	for (unsigned i = 0; i < calls; i++) {
		MARK_CALL;
		invoke(caller);
		MARK_RETURN;
	}
	MARK_END;
	return NULL;
}

int main(int count, char **arguments)
{
	static struct caller all[MOST_CALLERS];
	const char *name = count > 1 ? arguments[1] : "";
	kind = !strcmp(name, "busy") ? BUSY : !strcmp(name, "flood") ? FLOOD : NOP;
	callers = count > 2 ? strtoul(arguments[2], NULL, 10) : 1;
	calls = count > 3 ? strtoul(arguments[3], NULL, 10) : 1;
	if (callers < 1 || callers > MOST_CALLERS) {
		printf("callers: failed: 1 to %d callers\n", MOST_CALLERS);
		return 1;
	}
	pthread_barrier_init(&ready, NULL, callers);
	for (unsigned i = 0; i < callers; i++) {
		all[i].core = i;
		all[i].pages = aligned_alloc(4096, BYTES);
		memset(all[i].pages, 0x5a, BYTES);
		pthread_create(&all[i].thread, NULL, run, &all[i]);
	}
	for (unsigned i = 0; i < callers; i++)
		pthread_join(all[i].thread, NULL);
	printf("callers: done %u\n", callers);
	return 0;
}
