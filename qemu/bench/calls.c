// SPDX-License-Identifier: MIT OR Apache-2.0
//
// A QEMU plugin that counts the instructions executed in a range of addresses, EL2's, during each
// of teebench's and callers' calls. QEMU loads it with
//
//   -plugin calls.so,out=FILE,start=HEX,size=HEX
//
// and it writes, when QEMU ends, for every case in the order in which they ran
//
//   case
//   call CORE COUNT SMCS  of every timed call: the core that made it, the core's instructions in
//                         the range, and SMC instructions among them
//   at ADDRESS COUNT      executions of an instruction during all timed calls of the case
//   end                   if the case ended by a mark, which may have cut calls off
//   inside CORES COUNT    instructions that were executed behind such an SMC, until the core was
//                         back in the range, while so many cores were there at once
//
// and last `total COUNT`: the instructions executed in the range since power-on.
//
// QEMU's header is in no package of Debian 12's; what is used of it is declared here, as of API
// versions 1 (QEMU 7.2) to 4 (QEMU 10). Each core may run in a thread of its own.

#include <inttypes.h>
#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifndef API
#define API 1
#endif
#define EXPORT __attribute__((visibility("default")))

typedef uint64_t plugin_id;
struct block;
struct instruction;
typedef void executed(unsigned vcpu, void *data);

extern int qemu_plugin_register_vcpu_tb_trans_cb(plugin_id, void (*)(plugin_id, struct block *));
extern void qemu_plugin_register_atexit_cb(plugin_id, void (*)(plugin_id, void *), void *);
extern size_t qemu_plugin_tb_n_insns(const struct block *);
extern struct instruction *qemu_plugin_tb_get_insn(const struct block *, size_t);
extern uint64_t qemu_plugin_insn_vaddr(const struct instruction *);
extern void qemu_plugin_register_vcpu_tb_exec_cb(struct block *, executed *, int registers, void *);
extern void qemu_plugin_register_vcpu_insn_exec_cb(struct instruction *, executed *, int registers, void *);
#if API < 3
extern const void *qemu_plugin_insn_data(const struct instruction *);
#else
extern size_t qemu_plugin_insn_data(const struct instruction *, void *, size_t);
#endif

EXPORT int qemu_plugin_version = API;

// The arguments.
static FILE *out;
static uint64_t start, size;

enum { MOST_CORES = 64 };

// Only the core's own thread writes to it.
static struct core {
	// Since power-on, and at the beginning of the call under way.
	uint64_t total, before;
	uint64_t smcs, smcs_before;
	int is_in_call, is_inside;
	// Of the case: instructions behind an SMC, by the number of cores that were there.
	uint64_t executed_inside[MOST_CORES + 1];
	unsigned of_case;
} cores[MOST_CORES];
// How many cores are behind an SMC.
static unsigned inside;
// The cases so far, and whether the last one is under way. Marks take the lock to change them.
static unsigned cases;
static int is_in_case;
static pthread_mutex_t marking = PTHREAD_MUTEX_INITIALIZER;
// Executions during the case's timed calls, of each instruction of the range.
static uint64_t *executions;

#define ADD(to, number) __atomic_fetch_add(to, number, __ATOMIC_RELAXED)

static void end_case(void)
{
	for (uint64_t i = 0; i < size / 4; i++) {
		const uint64_t count = __atomic_exchange_n(&executions[i], 0, __ATOMIC_RELAXED);
		if (is_in_case && count)
			fprintf(out, "at %" PRIx64 " %" PRIu64 "\n", start + 4 * i, count);
	}
	for (unsigned n = 1; n <= MOST_CORES; n++) {
		uint64_t count = 0;
		for (unsigned i = 0; i < MOST_CORES; i++)
			if (cores[i].of_case == cases)
				count += cores[i].executed_inside[n];
		if (is_in_case && count)
			fprintf(out, "inside %u %" PRIu64 "\n", n, count);
	}
	is_in_case = 0;
}

static void on_case(unsigned vcpu, void *data)
{
	pthread_mutex_lock(&marking);
	end_case();
	cases++;
	fputs("case\n", out);
	is_in_case = 1;
	pthread_mutex_unlock(&marking);
}

static void on_end(unsigned vcpu, void *data)
{
	pthread_mutex_lock(&marking);
	if (is_in_case)
		fputs("end\n", out);
	end_case();
	pthread_mutex_unlock(&marking);
}

static void on_call(unsigned vcpu, void *data)
{
	struct core *const core = &cores[vcpu];
	core->before = core->total;
	core->smcs_before = core->smcs;
	core->is_in_call = 1;
}

static void on_return(unsigned vcpu, void *data)
{
	struct core *const core = &cores[vcpu];
	pthread_mutex_lock(&marking);
	if (is_in_case && core->is_in_call)
		fprintf(out, "call %u %" PRIu64 " %" PRIu64 "\n", vcpu, core->total - core->before,
			core->smcs - core->smcs_before);
	pthread_mutex_unlock(&marking);
	core->is_in_call = 0;
}

static void on_counted(unsigned vcpu, void *data)
{
	struct core *const core = &cores[vcpu];
	core->total++;
	if (core->is_in_call)
		ADD(&executions[(uintptr_t)data], 1);
	if (core->is_inside)
		ADD(&inside, -1u);
	core->is_inside = 0;
}

static void on_smc(unsigned vcpu, void *data)
{
	cores[vcpu].smcs++;
	cores[vcpu].is_inside = 1;
	ADD(&inside, 1u);
}

static void on_block(unsigned vcpu, void *data)
{
	struct core *const core = &cores[vcpu];
	if (!is_in_case || !core->is_inside)
		return;
	if (core->of_case != cases)
		memset(core->executed_inside, 0, sizeof core->executed_inside);
	core->of_case = cases;
	core->executed_inside[__atomic_load_n(&inside, __ATOMIC_RELAXED)] += (uintptr_t)data;
}

static uint32_t word(const struct instruction *instruction)
{
	uint32_t bytes = 0;
#if API < 3
	memcpy(&bytes, qemu_plugin_insn_data(instruction), sizeof bytes);
#else
	qemu_plugin_insn_data(instruction, &bytes, sizeof bytes);
#endif
	return bytes;
}

// What a mark calls: `movz xzr, #NUMBER` with teebench.c's numbers.
static executed *marked(uint32_t instruction)
{
	switch (instruction) {
	case 0xd2800000 | 0x7ee0 << 5 | 31:
		return on_case;
	case 0xd2800000 | 0x7ee1 << 5 | 31:
		return on_call;
	case 0xd2800000 | 0x7ee2 << 5 | 31:
		return on_return;
	case 0xd2800000 | 0x7ee3 << 5 | 31:
		return on_end;
	}
	return NULL;
}

static void on_translated(plugin_id id, struct block *block)
{
	const uint32_t SMC_0 = 0xd4000003;
	const size_t count = qemu_plugin_tb_n_insns(block);
	if (qemu_plugin_insn_vaddr(qemu_plugin_tb_get_insn(block, 0)) - start >= size)
		qemu_plugin_register_vcpu_tb_exec_cb(block, on_block, 0, (void *)count);
	for (size_t i = 0; i < count; i++) {
		struct instruction *instruction = qemu_plugin_tb_get_insn(block, i);
		const uint64_t offset = qemu_plugin_insn_vaddr(instruction) - start;
		executed *const mark = marked(word(instruction));
		if (offset < size)
			qemu_plugin_register_vcpu_insn_exec_cb(instruction, on_counted, 0, (void *)(uintptr_t)(offset / 4));
		if (offset < size && word(instruction) == SMC_0)
			qemu_plugin_register_vcpu_insn_exec_cb(instruction, on_smc, 0, NULL);
		if (mark)
			qemu_plugin_register_vcpu_insn_exec_cb(instruction, mark, 0, NULL);
	}
}

static void on_exit_of_qemu(plugin_id id, void *data)
{
	uint64_t total = 0;
	end_case();
	for (unsigned i = 0; i < MOST_CORES; i++)
		total += cores[i].total;
	fprintf(out, "total %" PRIu64 "\n", total);
	fclose(out);
}

// Value of an argument NAME=VALUE, if it is of that name.
static const char *value(const char *argument, const char *name)
{
	const size_t length = strlen(name);
	return !strncmp(argument, name, length) && argument[length] == '=' ? argument + length + 1 : NULL;
}

EXPORT int qemu_plugin_install(plugin_id id, const void *info, int count, char **arguments)
{
	for (int i = 0; i < count; i++) {
		const char *text;
		if ((text = value(arguments[i], "out")))
			out = fopen(text, "w");
		else if ((text = value(arguments[i], "start")))
			start = strtoull(text, NULL, 16);
		else if ((text = value(arguments[i], "size")))
			size = strtoull(text, NULL, 16);
	}
	executions = calloc(size / 4, sizeof *executions);
	if (!out || !size || !executions) {
		fputs("calls.so: needs out=FILE,start=HEX,size=HEX\n", stderr);
		return 1;
	}
	qemu_plugin_register_vcpu_tb_trans_cb(id, on_translated);
	qemu_plugin_register_atexit_cb(id, on_exit_of_qemu, NULL);
	return 0;
}
