/* SPDX-License-Identifier: MIT */
#include "tests/unit/captured.h"

#include <CUnit/CUnit.h>
#include <CUnit/TestRun.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/cleanup.h"

/* Where a sanitizer of this build reports; absent without one. */
void __sanitizer_set_report_fd(void *fd) __attribute__((weak));

static int stderr_fd = -1; /* the real one, while captured */
static unsigned int n_failures;

/* Async-signal-safe. */
static void show(void)
{
	char buf[4096];
	off_t at = 0;
	ssize_t n;

	while ((n = pread(STDERR_FILENO, buf, sizeof(buf), at)) > 0) {
		if (write(stderr_fd, buf, (size_t)n) != n)
			return;
		at += n;
	}
}

static void on_abort(int signal_number)
{
	(void)signal_number; /* the default action follows */
	show();
}

void captured_begin(void)
{
	const struct sigaction action = {.sa_handler = on_abort, .sa_flags = (int)SA_RESETHAND};
	CLEANUP(fd_closep) int fd = memfd_create("captured", MFD_CLOEXEC);

	CU_ASSERT_FATAL(fd >= 0);
	if (stderr_fd >= 0) /* the test before ended in the middle */
		captured_end();
	stderr_fd = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
	CU_ASSERT_FATAL(stderr_fd >= 0);
	CU_ASSERT_FATAL(dup2(fd, STDERR_FILENO) == STDERR_FILENO);
	if (__sanitizer_set_report_fd)
		__sanitizer_set_report_fd((void *)(intptr_t)stderr_fd);
	(void)sigaction(SIGABRT, &action, NULL); /* cannot fail */
	n_failures = CU_get_number_of_failures();
}

const char *captured_text(char *buf, size_t size)
{
	ssize_t n = pread(STDERR_FILENO, buf, size - 1, 0);

	CU_ASSERT_FATAL(n >= 0);
	buf[n] = '\0';
	return buf;
}

size_t captured_count(const char *text)
{
	char path[32], line[4096];
	CLEANUP(file_closep) FILE *file = NULL;
	size_t n = 0;

	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", STDERR_FILENO); /* it fits */
	file = fopen(path, "re");
	CU_ASSERT_PTR_NOT_NULL_FATAL(file);
	while (fgets(line, sizeof(line), file))
		n += strstr(line, text) != NULL;
	return n;
}

size_t captured_lines(void)
{
	size_t n_lines = 0;
	char buf[4096];
	off_t at = 0;
	ssize_t n;

	while ((n = pread(STDERR_FILENO, buf, sizeof(buf), at)) > 0) {
		for (ssize_t i = 0; i < n; i++)
			n_lines += buf[i] == '\n';
		at += n;
	}
	return n_lines;
}

void captured_end(void)
{
	const struct sigaction action = {.sa_handler = SIG_DFL};

	if (stderr_fd < 0)
		return;
	if (CU_get_number_of_failures() != n_failures)
		show();
	(void)sigaction(SIGABRT, &action, NULL); /* cannot fail */
	(void)dup2(stderr_fd, STDERR_FILENO); /* it was one a moment ago */
	if (__sanitizer_set_report_fd)
		__sanitizer_set_report_fd((void *)(intptr_t)STDERR_FILENO);
	fd_closep(&stderr_fd);
}
