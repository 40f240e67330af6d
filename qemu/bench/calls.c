// SPDX-License-Identifier: MIT OR Apache-2.0
//
// A QEMU plugin that counts the instructions executed in a range of addresses during each of
// teebench's calls. QEMU loads it with
//
//   -plugin calls.so,out=FILE,start=HEX,size=HEX
//
// and it writes, when QEMU ends, for every case in the order in which they ran
//
//   case
//   call COUNT        of every timed call
//   at ADDRESS COUNT  executions of an instruction during all timed calls of the case
//
// and last `total COUNT`: the instructions executed in the range since power-on.
//
// QEMU's header is in no package of Debian 12's; what is used of it is declared here, as of API
// versions 1 (QEMU 7.2) to 4 (QEMU 10). Only for machines whose cores take turns (-icount).

#include <inttypes.h>
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

// Since power-on, and at the beginning of the call under way.
static uint64_t total, before;
static int is_in_call, is_in_case;
// Executions during the case's timed calls, of each instruction of the range.
static uint64_t *executions;

static void end_case(void)
{
	if (!is_in_case)
		return;
	for (uint64_t i = 0; i < size / 4; i++)
		if (executions[i])
			fprintf(out, "at %" PRIx64 " %" PRIu64 "\n", start + 4 * i, executions[i]);
	memset(executions, 0, size / 4 * sizeof *executions);
}

static void on_case(unsigned vcpu, void *data)
{
	end_case();
	is_in_case = 1;
	is_in_call = 0;
	fputs("case\n", out);
}

static void on_call(unsigned vcpu, void *data)
{
	before = total;
	is_in_call = 1;
}

static void on_return(unsigned vcpu, void *data)
{
	if (is_in_call)
		fprintf(out, "call %" PRIu64 "\n", total - before);
	is_in_call = 0;
}

static void on_counted(unsigned vcpu, void *data)
{
	total++;
	executions[(uintptr_t)data] += is_in_call;
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
	}
	return NULL;
}

static void on_translated(plugin_id id, struct block *block)
{
	for (size_t i = 0; i < qemu_plugin_tb_n_insns(block); i++) {
		struct instruction *instruction = qemu_plugin_tb_get_insn(block, i);
		const uint64_t offset = qemu_plugin_insn_vaddr(instruction) - start;
		executed *const mark = marked(word(instruction));
		if (offset < size)
			qemu_plugin_register_vcpu_insn_exec_cb(instruction, on_counted, 0, (void *)(uintptr_t)(offset / 4));
		if (mark)
			qemu_plugin_register_vcpu_insn_exec_cb(instruction, mark, 0, NULL);
	}
}

static void on_exit_of_qemu(plugin_id id, void *data)
{
	end_case();
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
