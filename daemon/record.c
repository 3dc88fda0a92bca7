/* SPDX-License-Identifier: MIT */
#include "daemon/record.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"

#define RECORD_MAGIC 0x36636572626e6970ULL /* "pinbrec6": another layout, another number */
#define RECORD_GROW 1024 /* slots */
#define RECORD_BOOT_ID_MAX 64

struct record_slot {
	_Atomic uint32_t kind; /* enum record_kind; stored last, cleared first */
	uint32_t next_free; /* meaningful while free; not believed after a restart */
	union record_body body;
};
static_assert(sizeof(struct record_slot) == 256, "the format of the file");

/* The first slot's place. */
struct record_header {
	uint64_t magic;
	char boot_id[RECORD_BOOT_ID_MAX];
	uint64_t last_id; /* of all sessions there were */
	char zero[176];
};
static_assert(sizeof(struct record_header) == sizeof(struct record_slot), "one slot's place");

struct record {
	int fd; /* owned; locked */
	void *map; /* n_slots + 1 places */
	uint32_t n_slots;
	uint32_t free; /* first free slot; RECORD_NONE */
};

static struct record_slot *record_slot(const struct record *record, uint32_t slot)
{
	assert(slot < record->n_slots);
	return (struct record_slot *)record->map + 1 + slot;
}

static size_t record_size(uint32_t n_slots)
{
	return ((size_t)n_slots + 1) * sizeof(struct record_slot);
}

void record_close(struct record *record)
{
	if (!record)
		return;
	if (record->map)
		(void)munmap(record->map, record_size(record->n_slots)); /* cannot fail */
	fd_closep(&record->fd);
	free(record);
}

void record_closep(struct record **record)
{
	record_close(*record);
}

/* Maps n_slots, which the file has room for already. */
static int record_map(struct record *record, uint32_t n_slots)
{
	void *map;

	if (record->map)
		map = mremap(record->map, record_size(record->n_slots), record_size(n_slots),
			     MREMAP_MAYMOVE);
	else
		map = mmap(NULL, record_size(n_slots), PROT_READ | PROT_WRITE, MAP_SHARED,
			   record->fd, 0);
	if (map == MAP_FAILED)
		return -errno;
	/* A mapping holds the lock, too: no child may have it. Without it, only that is missing. */
	(void)madvise(map, record_size(n_slots), MADV_DONTFORK);
	record->map = map;
	record->n_slots = n_slots;
	return 0;
}

/*
 * Room for n_slots, mapped. Fills holes of what was cut before, too, and fails where a store would
 * be a SIGBUS.
 */
static int record_reserve(struct record *record, uint32_t n_slots)
{
	int err = posix_fallocate(record->fd, 0, (off_t)record_size(n_slots));

	return err ? -err : record_map(record, n_slots);
}

static void record_push_free(struct record *record, uint32_t slot)
{
	record_slot(record, slot)->next_free = record->free;
	record->free = slot;
}

static int record_grow(struct record *record)
{
	uint32_t old = record->n_slots, n_slots = old + RECORD_GROW;
	int err = record_reserve(record, n_slots);

	if (err)
		return err;
	for (uint32_t slot = n_slots; slot-- > old;) {
		atomic_store(&record_slot(record, slot)->kind, RECORD_FREE);
		record_push_free(record, slot);
	}
	return 0;
}

/* Takes over what is there; the chain of free slots is made anew. */
static int record_load(struct record *record, uint32_t n_slots)
{
	int err = record_reserve(record, n_slots);

	if (err)
		return err;
	for (uint32_t slot = n_slots; slot-- > 0;) {
		uint32_t kind = atomic_load(&record_slot(record, slot)->kind);

		if (kind == RECORD_FREE || kind >= RECORD_KINDS) {
			atomic_store(&record_slot(record, slot)->kind, RECORD_FREE);
			record_push_free(record, slot);
		}
	}
	return 0;
}

/* Whether it is this version's, and this boot's. */
static bool record_understood(const struct record *record, const struct stat *st,
			      const char *boot_id)
{
	struct record_header header;

	if (st->st_size % (off_t)sizeof(struct record_slot) != 0 ||
	    st->st_size > (off_t)record_size(RECORD_NONE / 2))
		return false;
	return pread(record->fd, &header, sizeof(header), 0) == (ssize_t)sizeof(header) &&
	       header.magic == RECORD_MAGIC &&
	       strncmp(header.boot_id, boot_id, sizeof(header.boot_id)) == 0;
}

/* The magic comes last: before it there is no record. */
static int record_begin(struct record *record, const char *boot_id)
{
	struct record_header *header;
	int err;

	if (ftruncate(record->fd, 0) < 0)
		return -errno;
	err = record_grow(record);
	if (err)
		return err;
	header = record->map;
	assert(header); /* it was mapped a moment ago: for gcc -fanalyzer, which loses that */
	memcpy(header->boot_id, boot_id, strlen(boot_id));
	record_barrier();
	header->magic = RECORD_MAGIC;
	return 0;
}

static int record_start(struct record *record, const char *boot_id, bool *ret_cleared)
{
	struct stat st;

	assert(strlen(boot_id) < RECORD_BOOT_ID_MAX);
	if (flock(record->fd, LOCK_EX | LOCK_NB) < 0 || fstat(record->fd, &st) < 0)
		return -errno;
	if (record_understood(record, &st, boot_id)) {
		*ret_cleared = false;
		return record_load(record,
				   (uint32_t)(st.st_size / (off_t)sizeof(struct record_slot)) - 1);
	}
	*ret_cleared = st.st_size > 0;
	return record_begin(record, boot_id);
}

int record_open_fd(int fd, const char *boot_id, bool *ret_cleared, struct record **ret_record)
{
	CLEANUP(fd_closep) int owned_fd = fd;
	CLEANUP(record_closep) struct record *record = NULL;
	struct record *new = calloc(1, sizeof(*new));
	int err;

	if (!new)
		return -ENOMEM;
	record = new;
	*record = (struct record){.fd = STEAL_FD(owned_fd), .free = RECORD_NONE};
	err = record_start(record, boot_id, ret_cleared);
	if (err)
		return err;
	*ret_record = STEAL(record);
	return 0;
}

/* Where others may make files, one of them may have made this one: then it is not believed. */
static int record_check_file(int fd)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	return S_ISREG(st.st_mode) && st.st_uid == geteuid() && !(st.st_mode & 077) &&
			       st.st_nlink == 1
		       ? 0
		       : -EPERM;
}

char *record_path(const char *socket_path)
{
	char *path;

	return asprintf(&path, "%s.record", socket_path) < 0 ? NULL : path;
}

char *record_directory(const char *path)
{
	const char *slash = strrchr(path, '/');

	if (!slash)
		return strdup(".");
	return slash == path ? strdup("/") : strndup(path, (size_t)(slash - path));
}

/* Who may write there can put another file in its place, unless it is sticky as /tmp is. */
static int record_check_directory(const char *path)
{
	CLEANUP(freep) char *directory = record_directory(path);
	struct stat st;

	if (!directory)
		return -ENOMEM;
	if (stat(directory, &st) < 0)
		return -errno;
	if (st.st_uid != 0 && st.st_uid != geteuid())
		return -ENOTUNIQ;
	return st.st_mode & 022 && !(st.st_mode & S_ISVTX) ? -ENOTUNIQ : 0;
}

int record_open(const char *path, const char *boot_id, bool *ret_cleared,
		struct record **ret_record)
{
	int err = record_check_directory(path);

	if (err)
		return err;

	CLEANUP(fd_closep)
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);

	if (fd < 0)
		return -errno;
	err = record_check_file(fd);
	return err ? err : record_open_fd(STEAL_FD(fd), boot_id, ret_cleared, ret_record);
}

uint64_t *record_last_id(struct record *record)
{
	return &((struct record_header *)record->map)->last_id;
}

int record_add(struct record *record, enum record_kind kind, const union record_body *body,
	       uint32_t *ret_slot)
{
	struct record_slot *entry;
	uint32_t slot;

	if (record->free == RECORD_NONE) {
		int err = record_grow(record);

		if (err)
			return err;
	}
	slot = record->free;
	entry = record_slot(record, slot);
	record->free = entry->next_free;
	entry->body = *body;
	atomic_store(&entry->kind, kind); /* whoever reads it after a kill finds the body whole */
	*ret_slot = slot;
	return 0;
}

void record_drop(struct record *record, uint32_t *slot)
{
	if (*slot == RECORD_NONE)
		return;
	atomic_store(&record_slot(record, *slot)->kind, RECORD_FREE);
	record_push_free(record, *slot);
	*slot = RECORD_NONE;
}

union record_body *record_at(struct record *record, uint32_t slot)
{
	return &record_slot(record, slot)->body;
}

uint32_t record_next(const struct record *record, enum record_kind kind, uint32_t slot)
{
	for (slot = slot == RECORD_NONE ? 0 : slot + 1; slot < record->n_slots; slot++)
		if (atomic_load(&record_slot(record, slot)->kind) == (uint32_t)kind)
			return slot;
	return RECORD_NONE;
}
