/* SPDX-License-Identifier: MIT */
#include "client/libvirt.h"

#include <dlfcn.h>
#include <errno.h>
#include <libvirt/libvirt.h>
#include <libvirt/virterror.h>
#include <stddef.h>
#include <stdlib.h>

#include "common/cleanup.h"

#define LIBVIRT_SONAME "libvirt.so.0"

/* What is called of it; the types are those of its header. */
#define LIBVIRT_CALLS(X)         \
	X(virConnectOpen)        \
	X(virConnectClose)       \
	X(virDomainLookupByName) \
	X(virDomainFree)         \
	X(virDomainGetXMLDesc)   \
	X(virDomainFDAssociate)  \
	X(virDomainCreate)       \
	X(virSetErrorFunc)       \
	X(virGetLastErrorMessage)

struct libvirt {
	void *library; /* owned, as the next two */
	virConnectPtr connection;
	virDomainPtr domain;
#define MEMBER(name) \
	__typeof__(&(name)) name; /* NOLINT(bugprone-macro-parentheses): a declaration */
	LIBVIRT_CALLS(MEMBER)
#undef MEMBER
};

static const struct {
	const char *name;
	size_t offset;
} libvirt_calls[] = {
#define ROW(name) {#name, offsetof(struct libvirt, name)},
	LIBVIRT_CALLS(ROW)
#undef ROW
};

const char *libvirt_error(const struct libvirt *libvirt)
{
	return libvirt->virGetLastErrorMessage();
}

/* It would print what its caller says. */
static void say_nothing(void *arg, virErrorPtr error)
{
	(void)arg;
	(void)error;
}

static int libvirt_load(struct libvirt *libvirt)
{
	libvirt->library = dlopen(LIBVIRT_SONAME, RTLD_NOW | RTLD_LOCAL);
	if (!libvirt->library)
		return -ENOPKG;
	for (size_t i = 0; i < ARRAY_SIZE(libvirt_calls); i++) {
		/* A pointer to a function comes as one to an object (dlsym(3)). */
		void **call = (void **)(void *)((char *)libvirt + libvirt_calls[i].offset);

		*call = dlsym(libvirt->library, libvirt_calls[i].name);
		if (!*call)
			return -ENOPKG;
	}
	libvirt->virSetErrorFunc(NULL, say_nothing);
	return 0;
}

int libvirt_open(const char *uri, const char *domain, struct libvirt **ret_libvirt)
{
	CLEANUP(libvirt_closep) struct libvirt *libvirt = calloc(1, sizeof(*libvirt));
	int err;

	if (!libvirt)
		return -ENOMEM;
	err = libvirt_load(libvirt);
	if (err)
		return err;
	libvirt->connection = libvirt->virConnectOpen(uri);
	if (libvirt->connection)
		libvirt->domain = libvirt->virDomainLookupByName(libvirt->connection, domain);
	err = libvirt->domain ? 0 : -EREMOTEIO;
	*ret_libvirt = STEAL(libvirt);
	return err;
}

void libvirt_close(struct libvirt *libvirt)
{
	if (!libvirt)
		return;
	if (libvirt->domain)
		(void)libvirt->virDomainFree(libvirt->domain); /* nothing to do about it */
	if (libvirt->connection)
		(void)libvirt->virConnectClose(libvirt->connection); /* as above */
	/* The library stays: it has threads and handlers of its own. */
	free(libvirt);
}

void libvirt_closep(struct libvirt **libvirt)
{
	libvirt_close(*libvirt);
}

char *libvirt_xml(struct libvirt *libvirt)
{
	return libvirt->virDomainGetXMLDesc(libvirt->domain, 0);
}

/* Associated descriptors are the connection's: the domain is started by the same one. */
int libvirt_start(struct libvirt *libvirt, const char *fdgroup, int fd)
{
	if (libvirt->virDomainFDAssociate(libvirt->domain, fdgroup, 1, &fd, 0) < 0)
		return -EREMOTEIO;
	return libvirt->virDomainCreate(libvirt->domain) < 0 ? -EREMOTEIO : 0;
}
