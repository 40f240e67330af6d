// SPDX-License-Identifier: MIT OR Apache-2.0

/*
 * Puts the kernel /kexec/linux in the place of the running one, with the initial file system and
 * the device tree that this one was started with, but for one word of the command line:
 * "kexec=0" becomes "kexec=1". The command line must also say "retain_initrd".
 *
 * For the virtual platform alone: RAM from 0x40000000, the kernel at its bottom. kexec-tools would
 * do it as well, but brings the libraries of Xen.
 */
#include <errno.h>
#include <linux/kexec.h>
#include <linux/reboot.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define RAM 0x40000000ul
#define PAGE 4096ul
/* At the top of RAM: the tree, and behind it the code that starts the kernel. */
#define TREE_ROOM 0x200000ul
#define CODE_ROOM 0x100000ul

struct file {
	void *bytes;
	size_t size;
};

static void fail(const char *what)
{
	fprintf(stderr, "kexec: %s: %s\n", what, strerror(errno));
	exit(1);
}

static struct file read_file(const char *path)
{
	struct file file = { NULL, 0 };
	size_t room = 0, got;
	FILE *stream = fopen(path, "r");

	if (!stream)
		fail(path);
	do {
		room += 4 << 20;
		file.bytes = realloc(file.bytes, room);
		if (!file.bytes)
			fail(path);
		got = fread((char *)file.bytes + file.size, 1, room - file.size, stream);
		file.size += got;
	} while (file.size == room);
	if (ferror(stream))
		fail(path);
	fclose(stream);
	return file;
}

/* The 64-bit number at index of a property. */
static unsigned long number(const char *path, size_t index)
{
	struct file property = read_file(path);
	uint64_t value;

	if (property.size < (index + 1) * sizeof(value)) {
		errno = EINVAL;
		fail(path);
	}
	memcpy(&value, (char *)property.bytes + index * sizeof(value), sizeof(value));
	return __builtin_bswap64(value);
}

static struct kexec_segment segment(struct file file, unsigned long to, size_t room)
{
	struct kexec_segment segment = { file.bytes, file.size, (void *)to, (room + PAGE - 1) & -PAGE };

	return segment;
}

int main(void)
{
	struct file kernel = read_file("/kexec/linux");
	struct file initrd = read_file("/sys/firmware/initrd");
	struct file tree = read_file("/sys/firmware/fdt");
	unsigned long initrd_at = number("/proc/device-tree/chosen/linux,initrd-start", 0);
	unsigned long tree_at = RAM + number("/proc/device-tree/memory@40000000/reg", 1) - TREE_ROOM;
	unsigned long code_at = tree_at + CODE_ROOM;
	/* arm64 Image header: text_offset at 8, image_size at 16. */
	unsigned long kernel_at = RAM + ((uint64_t *)kernel.bytes)[1];
	size_t kernel_room = ((uint64_t *)kernel.bytes)[2];
	/* x0 = tree, x1 to x3 = 0, as the boot protocol wants it; the addresses follow. */
	struct {
		uint32_t code[8];
		uint64_t tree, kernel;
	} start = {
		{
			0x58000100, /* ldr x0, tree */
			0xaa1f03e1, /* mov x1, xzr */
			0xaa1f03e2, /* mov x2, xzr */
			0xaa1f03e3, /* mov x3, xzr */
			0x580000c4, /* ldr x4, kernel */
			0xd61f0080, /* br x4 */
		},
		tree_at,
		kernel_at,
	};
	struct file code = { &start, sizeof(start) };
	char *word = memmem(tree.bytes, tree.size, "kexec=0", 7);

	if (!word) {
		fprintf(stderr, "kexec: the command line does not say kexec=0\n");
		return 1;
	}
	word[6] = '1';
	struct kexec_segment segments[] = {
		segment(kernel, kernel_at, kernel_room),
		segment(initrd, initrd_at, initrd.size),
		segment(tree, tree_at, tree.size),
		segment(code, code_at, code.size),
	};
	if (syscall(SYS_kexec_load, code_at, 4ul, segments, KEXEC_ARCH_AARCH64))
		fail("kexec_load");
	syscall(SYS_reboot, LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2, LINUX_REBOOT_CMD_KEXEC, NULL);
	fail("reboot");
}
