// SPDX-License-Identifier: MIT OR Apache-2.0
//
// A QEMU plugin that finds the longest sections with interrupts masked in a range of addresses,
// EL2's. QEMU loads it with
//
//   -plugin masked.so,out=FILE,start=HEX,size=HEX
//
// and it writes, when QEMU ends, the longest sections of all cores, the longest first, as
//
//   section CORE COUNT FROM TO AT  COUNT instructions, between those at these addresses; and the
//                                  address of the 10,000th, or 0
//   silent CORE COUNT              the core's instructions in the range between the marks of a guest
//                                  that asks for nothing
//
// EL2 never unmasks interrupts: it looks for them. So a section goes from an instruction that
// lets them be served to the next such: ERET, which enters a guest that is left for a pending
// interrupt at once; WFI, which ends at one; and the acknowledgement by ICC_IAR1_EL1. What a core
// executes outside the range, in the secure world say, is not counted, but does not end a section
// either. Sections before a core enters its first guest, which are boot, are left out. So are turns of a loop that waits for
// a lock, an ISB and a few more instructions: the holder's section counts, and here the holder may
// have to wait for a processor of the host.
//
// QEMU's header is in no package of Debian 12's; what is used of it is declared here, as of API
// versions 1 (QEMU 7.2) to 4 (QEMU 10). Each core may run in a thread of its own.

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

enum { MOST_CORES = 64, KEPT = 12 };

struct section {
	uint64_t count, from, to, at;
};

// Only the core's own thread writes to it.
static struct core {
	// The section under way, and whether it is boot.
	struct section now;
	int is_behind_boot;
	// The last ISB: its address, and the count behind it.
	uint64_t isb, behind_isb;
	// All in the range; what it was at the first mark, and what was executed until the second.
	uint64_t total, at_mark, marked;
	int is_silent;
	// The longest ones with the same 10,000th instruction, the longest first.
	struct section longest[KEPT];
} cores[MOST_CORES];

static void keep(struct section *kept, struct section found)
{
	size_t at = 0;
	while (at < KEPT - 1 && kept[at].count && kept[at].at != found.at)
		at++;
	if (found.count <= kept[at].count)
		return;
	for (; at > 0 && kept[at - 1].count < found.count; at--)
		kept[at] = kept[at - 1];
	kept[at] = found;
}

static void on_executed(unsigned vcpu, void *data)
{
	struct section *const now = &cores[vcpu].now;
	if (++now->count == 10000)
		now->at = (uintptr_t)data;
}

static void on_isb(unsigned vcpu, void *data)
{
	const uint64_t LOOP = 8;
	struct core *const core = &cores[vcpu];
	on_executed(vcpu, data);
	if (core->isb == (uintptr_t)data && core->now.count - core->behind_isb <= LOOP)
		core->now.count = core->behind_isb;
	core->isb = (uintptr_t)data;
	core->behind_isb = core->now.count;
}

static void on_served(unsigned vcpu, void *data)
{
	struct core *const core = &cores[vcpu];
	core->now.count++;
	core->now.to = (uintptr_t)data;
	if (core->is_behind_boot)
		keep(core->longest, core->now);
	core->total += core->now.count;
	core->now = (struct section){ .from = (uintptr_t)data };
	core->isb = 0;
}

static void on_entered(unsigned vcpu, void *data)
{
	on_served(vcpu, data);
	cores[vcpu].is_behind_boot = 1;
}

static void on_silent(unsigned vcpu, void *data)
{
	cores[vcpu].at_mark = cores[vcpu].total;
}

static void on_silent_end(unsigned vcpu, void *data)
{
	cores[vcpu].marked = cores[vcpu].total - cores[vcpu].at_mark;
	cores[vcpu].is_silent = 1;
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

static int is_isb(uint32_t instruction)
{
	return instruction == 0xd5033fdf;
}

static int enters(uint32_t instruction)
{
	const uint32_t ERET = 0xd69f03e0;
	return instruction == ERET;
}

static int serves(uint32_t instruction)
{
	const uint32_t WFI = 0xd503207f, MRS_IAR1 = 0xd538cc00;
	return instruction == WFI || (instruction & ~0x1fu) == MRS_IAR1;
}

static executed *counter_of(uint32_t instruction)
{
	if (enters(instruction))
		return on_entered;
	if (serves(instruction))
		return on_served;
	return is_isb(instruction) ? on_isb : on_executed;
}

static void on_translated(plugin_id id, struct block *block)
{
	const size_t count = qemu_plugin_tb_n_insns(block);
	for (size_t i = 0; i < count; i++) {
		struct instruction *instruction = qemu_plugin_tb_get_insn(block, i);
		const uint64_t address = qemu_plugin_insn_vaddr(instruction);
		// The marks: `movz xzr, #0x7ee4` and `movz xzr, #0x7ee5`.
		if (word(instruction) == (0xd2800000 | 0x7ee4 << 5 | 31))
			qemu_plugin_register_vcpu_insn_exec_cb(instruction, on_silent, 0, NULL);
		if (word(instruction) == (0xd2800000 | 0x7ee5 << 5 | 31))
			qemu_plugin_register_vcpu_insn_exec_cb(instruction, on_silent_end, 0, NULL);
		if (address - start >= size)
			continue;
		qemu_plugin_register_vcpu_insn_exec_cb(instruction, counter_of(word(instruction)), 0,
						       (void *)(uintptr_t)address);
	}
}

static void on_exit_of_qemu(plugin_id id, void *data)
{
	for (unsigned i = 0; i < MOST_CORES; i++)
		for (unsigned n = 0; n < KEPT && cores[i].longest[n].count; n++)
			fprintf(out, "section %u %" PRIu64 " %" PRIx64 " %" PRIx64 " %" PRIx64 "\n", i,
				cores[i].longest[n].count, cores[i].longest[n].from, cores[i].longest[n].to,
				cores[i].longest[n].at);
	for (unsigned i = 0; i < MOST_CORES; i++)
		if (cores[i].is_silent)
			fprintf(out, "silent %u %" PRIu64 "\n", i, cores[i].marked);
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
	if (!out || !size) {
		fputs("masked.so: needs out=FILE,start=HEX,size=HEX\n", stderr);
		return 1;
	}
	qemu_plugin_register_vcpu_tb_trans_cb(id, on_translated);
	qemu_plugin_register_atexit_cb(id, on_exit_of_qemu, NULL);
	return 0;
}
