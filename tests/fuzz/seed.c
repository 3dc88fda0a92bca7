/* SPDX-License-Identifier: MIT */
#include "tests/fuzz/seed.h"

#include <err.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "common/cleanup.h"

static struct {
	char directory[512];
	char bytes[4 * PROTO_MESSAGE_MAX];
	size_t len;
} seed;

void seed_directory(const char *parent, const char *name)
{
	(void)snprintf(seed.directory, sizeof(seed.directory), "%s/%s", parent, name);
	if (mkdir(seed.directory, 0777) < 0 && errno != EEXIST)
		err(1, "%s", seed.directory);
}

void seed_add(const void *bytes, size_t len)
{
	if (len > sizeof(seed.bytes) - seed.len)
		errx(1, "%s: a seed is too long", seed.directory);
	memcpy(seed.bytes + seed.len, bytes, len);
	seed.len += len;
}

void seed_packet(enum proto_kind kind, unsigned int op, uint64_t serial, const void *body,
		 size_t len)
{
	struct proto_header header = proto_header(kind, op, serial, len);

	seed_add(&header, sizeof(header));
	seed_add(body, len);
}

/* 00 N stands for N+1 NUL bytes. */
void seed_write(const char *name)
{
	char path[640];
	CLEANUP(file_closep) FILE *file = NULL;

	(void)snprintf(path, sizeof(path), "%s/%s", seed.directory, name);
	file = fopen(path, "we");
	if (!file)
		err(1, "%s", path);
	for (size_t i = 0; i < seed.len; i++) {
		size_t zeros = 0;

		while (i + zeros < seed.len && !seed.bytes[i + zeros] && zeros < 256)
			zeros++;
		(void)fputc(seed.bytes[i], file);
		if (!zeros)
			continue;
		(void)fputc((int)(zeros - 1), file);
		i += zeros - 1;
	}
	if (fflush(file) || ferror(file))
		err(1, "%s", path);
	seed.len = 0;
}

struct proto_open seed_open(const char *name, uint64_t memory, const char *device,
			    const char *other)
{
	struct proto_open open = {.memory = memory, .flags = PROTO_OPEN_EXEC};

	proto_text_set(open.name, sizeof(open.name), name);
	if (device)
		proto_text_set(open.devices[open.n_devices++], sizeof(open.devices[0]), device);
	if (other)
		proto_text_set(open.devices[open.n_devices++], sizeof(open.devices[0]), other);
	return open;
}
